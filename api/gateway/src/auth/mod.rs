//! Tokens: who a caller is. Tenants' issuers sign them, machines have API keys ([`auth_api::trust`] says whether these hold); and
//! `inopsio token` mints them with the key of the installation. What a bearer may do, [`user_api::bearers`] says.
//!
//! [`Verifier`] says who comes with a token; `issuers` opens what it and the tenants' issuers need of the auth service, `user_log` what
//! it needs of the user service; `suspension` says which tenants may not come in at all; `denials` has on record who was denied what.

mod bearer;
mod claims;
pub(crate) mod denials;
pub(crate) mod issuers;
mod jwk;
mod keys;
mod set_up;
pub(crate) mod suspension;
pub(crate) mod user_log;
mod verifier;

pub use bearer::Bearer;
pub use claims::TokenClaims;
pub use keys::{KeyError, KeyPair, mint};
pub use set_up::is_subject;
pub use verifier::{Verified, Verifier};
