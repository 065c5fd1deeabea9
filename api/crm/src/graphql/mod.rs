//! CRM in GraphQL: [`CrmQuery`] over the read models, [`CrmSubscription`] over the bus.
//!
//! A resolver checks its permission, takes the request's transaction and calls a query of `crm-projections`; objects wrap
//! that crate's rows. References between objects are read through a dataloader ([`face::graphql::load`]), in one batch per response.
//! Lists are Relay connections ([`face::connection!`]); a cursor is valid only for the order for which it was issued.
//!
//! To add an object: add a file with its name here, and its fields in [`query`].

mod account;
mod board;
mod contact;
mod country;
mod funnel;
mod history;
mod lead;
mod money;
mod movement;
mod opportunity;
mod pipeline;
mod query;
mod subscription;

pub use query::CrmQuery;
pub use subscription::{CrmSubscription, subscribe};
