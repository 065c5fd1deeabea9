//! People and tenants in GraphQL: [`UserQuery`] over the read models, [`UserSubscription`] over the bus.
//!
//! A resolver asks for its permission, takes the request's transaction and calls a query of `user-projections`; objects wrap
//! that crate's rows. What one object names of another is read through a dataloader ([`face::graphql::load`]), once for a whole
//! answer. Lists are Relay connections ([`face::connection!`]) with cursors that belong to their order.
//!
//! To add an object: a file of its stem here, its fields in [`query`].

mod access;
mod domain;
mod dry_run;
mod group;
mod invitation;
mod organization;
mod policy_change;
mod query;
mod role;
mod subscription;
mod user;

pub use query::UserQuery;
pub use subscription::{UserSubscription, subscribe};
