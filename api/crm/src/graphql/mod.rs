//! CRM in GraphQL: [`CrmQuery`] over the read models, [`CrmSubscription`] over the bus.
//!
//! A resolver asks for its permission, takes the request's transaction and calls a query of `crm-projections`; objects wrap
//! that crate's rows. What one object names of another is read through a dataloader ([`face::graphql::load`]), once for a whole answer.
//! Lists are Relay connections ([`face::connection!`]) with cursors that belong to their order.
//!
//! To add an object: a file of its stem here, its fields in [`query`].

mod account;
mod board;
mod contact;
mod funnel;
mod history;
mod lead;
mod mirror;
mod money;
mod movement;
mod opportunity;
mod pipeline;
mod query;
mod subscription;

pub use query::CrmQuery;
pub use subscription::{CrmSubscription, subscribe};
