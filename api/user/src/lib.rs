//! The user service's API, people and tenants: REST commands and reads ([`rest`]), GraphQL queries and subscriptions ([`graphql`]).
//!
//! A REST operation decodes its body, hands a command of `user-commands` to the executor and answers what was made or changed.
//! Whoever follows a mailed link has no token: for them the link itself says who they are ([`UserMailedLinks`]). Bodies are types
//! of their own: what is public here must stay, what is inside may change. What whoever comes with a token may do, the gateway asks
//! here ([`bearers`]). Identity providers keep users and groups by [`scim`], and
//! vouch for those who sign in by them ([`UserAdmission`]). To add an aggregate's operations: a file of the
//! aggregate's stem in `rest/`, its line in [`rest`] and, for its queries, one in [`graphql`].

mod admission;
pub mod bearers;
pub mod graphql;
mod mailed_links;
mod people;
pub mod rest;
pub mod scim;

pub use admission::UserAdmission;
pub use mailed_links::UserMailedLinks;
pub use people::UserDirectory;

use std::sync::Arc;

use executor::ClaimHistory;
use face::graphql::Session;
use face::{Domain, Runtime, Writing};
use futures::stream::BoxStream;
use jobs::Kinds;
use juniper::FieldResult;
use kernel::{AggregateType, EventType, Grant, Service};
use projector::{Projection, ReadModels};
use user_commands::Catalogue;

/// The domain of people and tenants: users, roles, groups, organizations, invitations.
#[derive(Clone, Copy, Debug)]
pub struct User;

/// The user service.
pub const SERVICE: Service = Service::new("user");

impl Domain for User {
    const SERVICE: Service = SERVICE;

    type Rest = rest::Rest;
    type Query = graphql::UserQuery;
    type Subscription = graphql::UserSubscription;

    fn grants() -> &'static [Grant] {
        user_commands::GRANTS
    }

    fn catalog() -> Vec<EventType> {
        user_aggregates::catalog()
    }

    fn projections() -> Vec<Arc<dyn Projection>> {
        user_projections::projections()
    }

    fn jobs(read_models: &ReadModels, writing: Option<&Writing>) -> Kinds {
        let importers = writing.map(|Writing { executor, grants, machines }| user_jobs::Importers {
            executor: executor.clone(),
            catalogue: Catalogue::from(grants.to_vec()),
            machines: machines.clone(),
        });
        user_jobs::kinds(read_models, importers)
    }

    fn aggregates() -> Vec<AggregateType> {
        user_aggregates::AGGREGATES.to_vec()
    }

    fn claims() -> Box<dyn ClaimHistory> {
        Box::new(user_commands::Claims::default())
    }

    fn subscribe(session: Arc<Session>, wanted: Vec<String>) -> BoxStream<'static, FieldResult<Self::Subscription>> {
        graphql::subscribe(session, wanted)
    }

    fn rest(runtime: Runtime) -> Self::Rest {
        rest::rest(runtime)
    }
}
