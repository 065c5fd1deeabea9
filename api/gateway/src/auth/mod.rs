//! Tokens: who a caller is. Tenants' issuers sign them, machines have API keys ([`auth_api::trust`] says whether these hold); and
//! `inopsio token` mints them with the key of the installation. What a bearer may do, [`user_api::bearers`] says.

mod claims;
mod jwk;
mod keys;
mod set_up;
mod standing;
mod verifier;

pub use claims::TokenClaims;
pub use keys::{KeyError, KeyPair, mint};
pub use standing::Bearer;
pub use verifier::{Verified, Verifier};
