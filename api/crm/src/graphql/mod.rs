//! CRM in GraphQL: [`CrmQuery`] over the read models, [`CrmSubscription`] over the bus.
//!
//! A resolver asks for its permission, takes the request's transaction and calls a query of `crm-projections`; objects wrap
//! that crate's rows. What one object names of another is read through a dataloader ([`loader`]), once for a whole answer.
//! Lists are Relay connections ([`connection`]) with cursors that belong to their order.
//!
//! To add an object: a file of its stem here, its fields in [`query`].

mod account;
mod board;
mod connection;
mod contact;
mod funnel;
mod history;
mod lead;
mod loader;
mod mirror;
mod money;
mod movement;
mod opportunity;
mod pipeline;
mod query;
mod read;
mod subscription;

pub use query::CrmQuery;
pub use subscription::{CrmSubscription, subscribe};
