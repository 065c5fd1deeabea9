//! The auth service's commands: everything that can be requested of sign-in.
//!
//! Each file has the commands of one aggregate. Commands of administrators need a permission of [`GRANTS`], which their roles
//! give. Steps of the protocols (open a grant for a client that showed its secret, redeem a code) need a permission
//! that no role gives: only [`protocol`] creates callers with it, for a tenant that the auth service itself has determined.
//!
//! A command that changes other people's access, or grants permissions, takes a [`Reach`], which refuses targets with more permissions than
//! the caller.
//!
//! A protocol command whose refusal must be recorded succeeds and returns the outcome ([`Redeemed`]), because a command that fails
//! writes nothing.
//!
//! To add a command: write its struct and `impl Command` in the file of its aggregate, and a permission in `grants` if it needs a
//! new one. To add an aggregate's commands: add a file with the aggregate's name, and its lines here.

mod access;
mod account;
mod api_key;
mod branding;
mod claims;
mod client;
mod client_assertion;
mod device;
mod grant;
mod grants;
mod key_ring;
pub mod lengths;
mod machine;
mod passkey;
mod reach;
mod saml_assertion;
mod saml_connection;
mod second_factor;
mod session;
mod sign_in_policy;
mod values;

pub use access::*;
pub use account::*;
pub use api_key::*;
pub use branding::*;
pub use claims::Claims;
pub use client::*;
pub use client_assertion::UseAssertion;
pub use device::*;
pub use grant::*;
pub use grants::{GRANTS, protocol};
pub use key_ring::*;
pub use machine::*;
pub use passkey::*;
pub use reach::Reach;
pub use saml_assertion::UseSamlAssertion;
pub use saml_connection::*;
pub use second_factor::*;
pub use session::*;
pub use sign_in_policy::*;
