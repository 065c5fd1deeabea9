//! Signing in, in GraphQL: lists of machines, their keys, applications, identity providers, and sessions over the read models, and what
//! happens to them as it happens.

mod client;
mod denied_access;
mod machine;
mod query;
mod refused_sign_in;
mod saml_connection;
mod session;
mod subscription;

pub use query::AuthQuery;
pub use subscription::{AuthSubscription, subscribe};
