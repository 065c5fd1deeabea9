//! Tokens: who a caller is, said by JSON Web Tokens signed with Ed25519.

mod claims;
mod jwk;
mod keys;
mod verifier;

pub use claims::TokenClaims;
pub use keys::{KeyError, KeyPair, mint};
pub use verifier::{Verified, Verifier};
