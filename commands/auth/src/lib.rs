//! The auth service's commands: what can be asked of signing in.
//!
//! Each file holds the commands of one aggregate. What administrators ask needs a permission of [`GRANTS`], which their roles
//! give. What the protocol itself does (open a grant for a client that showed its secret, redeem a code) needs a permission
//! that no role gives: only [`protocol`], which the auth service calls with a tenant that it knows itself, makes callers that
//! have it.
//!
//! A protocol command that may end in a refusal worth a record answers what became of it ([`Redeemed`]), because a command
//! that fails writes nothing.
//!
//! To add a command: its struct and `impl Command` in the file of its aggregate, and a permission in `grants`, if it needs a
//! new one. To add an aggregate's commands: a file with the aggregate's stem, and its lines here.

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
mod machine;
mod passkey;
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
pub use saml_assertion::UseSamlAssertion;
pub use saml_connection::*;
pub use second_factor::*;
pub use session::*;
pub use sign_in_policy::*;
