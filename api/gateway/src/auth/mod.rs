//! Authentication. Tokens are signed by the tenants' issuers, machines have API keys (both are checked by [`auth_api::trust`]), and
//! `inopsio token` mints tokens with the key of the installation. The permissions of a bearer come from [`user_api::permission_resolver`].
//!
//! [`Verifier`] determines the caller for a token. `issuers` opens what it and the tenants' issuers need from the auth service,
//! `user_log` what it needs from the user service. `suspension` knows the tenants whose requests are refused, and `denials` records
//! denied requests.

mod bearer;
mod claims;
pub(crate) mod denials;
mod installation_token;
pub(crate) mod issuers;
mod jwk;
mod keys;
pub(crate) mod suspension;
pub(crate) mod user_log;
mod verifier;

pub use bearer::Bearer;
pub use claims::TokenClaims;
pub use installation_token::is_subject;
pub use keys::{KeyError, KeyPair, mint};
pub use verifier::{Verified, Verifier};
