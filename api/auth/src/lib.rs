//! The auth service's HTTP API: sign-in, token issuance, token verification and their administration.
//!
//! - [`provider`]: the OpenID Connect provider of each tenant, under `/t/{tenant}`, for clients and browsers;
//! - [`trust`]: the check of bearer tokens, used by the gateway for each request;
//! - [`rest`] and [`graphql`]: the administrators' API for machines, keys, sessions and sign-in settings.
//!
//! All of them use an [`authority::Authority`], which holds the tenants' keys. Only the composition root (`api/gateway`) can provide the
//! ports that it needs: the directory of tenants, the directory of people, and the master key.
//!
//! To add an aggregate's operations: add a file with the aggregate's name in `rest/` and its line in [`rest`]; if it has queries, do the
//! same in [`graphql`]. To add a protocol endpoint, see [`provider`].

pub mod authority;
mod breaches;
pub mod graphql;
mod low_priority;
mod origin;
pub mod passkey;
pub mod password;
pub mod provider;
pub mod rest;
mod sign_in_records;
pub mod totp;
pub mod trust;

pub use breaches::Breaches;
pub use sign_in_records::SignInRecords;

use std::sync::Arc;

use executor::ClaimHistory;
use face::graphql::Session;
use face::{Domain, RolePeriod, RolePeriods, Runtime, WriteSide};
use futures::future::{BoxFuture, FutureExt};
use futures::stream::BoxStream;
use jobs::Kinds;
use juniper::FieldResult;
use kernel::{AggregateType, EventType, Grant, Service, TenantId};
use projector::{Projection, ReadModels};
use sqlx::PgConnection;
use uuid::Uuid;

/// The auth domain: machines, API keys, grants, sessions and signing keys.
#[derive(Clone, Copy, Debug)]
pub struct Auth;

/// The auth service's name.
pub const SERVICE: Service = Service::new("auth");

impl Domain for Auth {
    const SERVICE: Service = SERVICE;
    const DECIDES_ACCESS: bool = true;

    type Rest = rest::Rest;
    type Query = graphql::AuthQuery;
    type Subscription = graphql::AuthSubscription;

    fn grants() -> &'static [Grant] {
        auth_commands::GRANTS
    }

    fn event_types() -> Vec<EventType> {
        auth_aggregates::event_types()
    }

    fn role_periods() -> Option<RolePeriods> {
        Some(RolePeriods { of: roles_of_machines, subjects: machines_after })
    }

    fn projections() -> Vec<Arc<dyn Projection>> {
        auth_projections::projections()
    }

    fn jobs(_: &ReadModels, _: Option<&WriteSide>) -> Kinds {
        Kinds::new("auth:job:read", "auth:job:write", Vec::new())
    }

    fn aggregates() -> Vec<AggregateType> {
        auth_aggregates::AGGREGATES.to_vec()
    }

    fn claims() -> Box<dyn ClaimHistory> {
        Box::new(auth_commands::Claims::default())
    }

    fn subscribe(session: Arc<Session>, wanted: Vec<String>) -> BoxStream<'static, FieldResult<Self::Subscription>> {
        graphql::subscribe(session, wanted)
    }

    fn rest(runtime: Runtime) -> Self::Rest {
        rest::rest(runtime)
    }
}

/// The ids of all machines, present and past, in pages of `limit` after the id `after`.
fn machines_after(
    tables: &mut PgConnection,
    tenant: TenantId,
    after: Uuid,
    limit: i64,
) -> BoxFuture<'_, Result<Vec<Uuid>, sqlx::Error>> {
    auth_projections::machines::ids(tables, tenant, after, limit).boxed()
}

/// The periods in which these machines had which roles.
fn roles_of_machines<'t>(
    tables: &'t mut PgConnection,
    tenant: TenantId,
    machines: &'t [Uuid],
) -> BoxFuture<'t, Result<Vec<RolePeriod>, sqlx::Error>> {
    auth_projections::machines::role_periods(tables, tenant, machines).boxed()
}
