//! The user service's API for people and tenants: REST commands and reads ([`rest`]), GraphQL queries and subscriptions
//! ([`graphql`]), and SCIM 2.0 for identity providers ([`scim`]).
//!
//! A REST operation decodes its body, gives a command of `user-commands` to the executor, and answers what was created or changed.
//! Bodies are types of their own, because the public contract must stay stable while internal types change.
//!
//! Other crates use it through ports: [`permission_resolver`] tells the gateway what the caller of a token may do, [`UserMailedLinks`] lets
//! people who follow a mailed link act without a token, [`UserOwnPictures`] changes the picture of who is signed in on a page, and
//! [`UserAdmission`] admits people for whom an identity provider vouches.
//!
//! To add an aggregate's operations: add a file of the aggregate's name in `rest/`, its line in [`rest`] and, for its queries, one
//! in [`graphql`].

mod admission;
pub mod graphql;
mod mailed_links;
mod own_pictures;
mod people;
pub mod permission_resolver;
pub mod rest;
pub mod scim;

pub use admission::{DueEndings, UserAdmission};
pub use mailed_links::UserMailedLinks;
pub use own_pictures::UserOwnPictures;
pub use people::UserDirectory;

use std::sync::Arc;

use executor::ClaimHistory;
use face::graphql::Session;
use face::{Domain, Runtime, WriteSide};
use futures::stream::BoxStream;
use jobs::Kinds;
use juniper::FieldResult;
use kernel::{AggregateType, EventType, Grant, Service};
use projector::{Projection, ReadModels};
use user_commands::{Catalogue, SubjectsInLog};

/// The domain of people and tenants: users, roles, groups, organizations, invitations.
#[derive(Clone, Copy, Debug)]
pub struct User;

/// The user service.
pub const SERVICE: Service = Service::new("user");

impl Domain for User {
    const SERVICE: Service = SERVICE;
    const DECIDES_ACCESS: bool = true;

    type Rest = rest::Rest;
    type Query = graphql::UserQuery;
    type Subscription = graphql::UserSubscription;

    fn grants() -> &'static [Grant] {
        user_commands::GRANTS
    }

    fn event_types() -> Vec<EventType> {
        user_aggregates::event_types()
    }

    fn projections() -> Vec<Arc<dyn Projection>> {
        user_projections::projections()
    }

    fn jobs(read_models: &ReadModels, write_side: Option<&WriteSide>) -> Kinds {
        let importers = write_side.map(|WriteSide { executor, grants, machines }| user_jobs::Importers {
            executor: executor.clone(),
            requesters: SubjectsInLog { catalogue: Catalogue::from(grants.to_vec()), machines: machines.clone() },
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
