//! People and tenants in GraphQL: [`UserQuery`] over the read models, [`UserSubscription`] over the bus.
//!
//! A resolver checks its permission, takes the request's transaction and calls a query of `user-projections`; objects wrap
//! that crate's rows. References between objects are read through a dataloader ([`face::graphql::load`]), in one batch per
//! response. Lists are Relay connections ([`face::connection!`]); a cursor is valid only for the order for which it was issued.
//!
//! To add an object: add a file with its name here, and its fields in [`query`].

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
