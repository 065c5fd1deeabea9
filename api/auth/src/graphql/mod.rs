//! Signing in, in GraphQL: lists of machines and their keys over the read models, and what happens to them as it happens.

mod machine;
mod query;
mod subscription;

pub use query::AuthQuery;
pub use subscription::{AuthSubscription, subscribe};
