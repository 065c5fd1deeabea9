//! The GraphQL API of the auth service: queries over its read models (machines, API keys, applications, identity providers, sessions,
//! refusals), and a subscription to changes of access.

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
