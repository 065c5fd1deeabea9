//! CRM's API: REST commands and reads ([`rest`]), GraphQL queries and subscriptions ([`graphql`]).
//!
//! A REST operation decodes its body, gives a command of `crm-commands` to the executor, and answers what was created or changed.
//! Bodies are types of their own, because the public contract must stay stable while internal types change.
//!
//! To add an aggregate's operations: add a file of the aggregate's name in `rest/`, its line in [`rest`] and, for its queries, one
//! in [`graphql`].

pub mod graphql;
pub mod rest;

use std::sync::Arc;

use executor::ClaimHistory;
use face::graphql::Session;
use face::{Domain, Runtime, WriteSide};
use futures::stream::BoxStream;
use jobs::Kinds;
use juniper::FieldResult;
use kernel::{AggregateType, EventType, Grant, Service};
use projector::{Projection, ReadModels};

/// The domain of customers: leads, contacts, accounts, opportunities.
#[derive(Clone, Copy, Debug)]
pub struct Crm;

/// CRM's service.
pub const SERVICE: Service = Service::new("crm");

impl Domain for Crm {
    const SERVICE: Service = SERVICE;

    type Rest = rest::Rest;
    type Query = graphql::CrmQuery;
    type Subscription = graphql::CrmSubscription;

    fn grants() -> &'static [Grant] {
        crm_commands::GRANTS
    }

    fn event_types() -> Vec<EventType> {
        crm_aggregates::event_types()
    }

    fn projections() -> Vec<Arc<dyn Projection>> {
        crm_projections::projections()
    }

    fn jobs(read_models: &ReadModels, write_side: Option<&WriteSide>) -> Kinds {
        crm_jobs::kinds(read_models, write_side.map(|write_side| write_side.executor.clone()))
    }

    fn aggregates() -> Vec<AggregateType> {
        crm_aggregates::AGGREGATES.to_vec()
    }

    fn claims() -> Box<dyn ClaimHistory> {
        Box::new(crm_commands::Claims::default())
    }

    fn subscribe(session: Arc<Session>, wanted: Vec<String>) -> BoxStream<'static, FieldResult<Self::Subscription>> {
        graphql::subscribe(session, wanted)
    }

    fn rest(runtime: Runtime) -> Self::Rest {
        rest::rest(runtime)
    }
}
