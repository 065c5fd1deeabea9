//! REST operations on sagas.

use chrono::{DateTime, Utc};
use coordinator::{Instances, Listing, Status};
use face::{
    Authenticated, ByService, Changed, Command, Count, Empty, Example, Parameter, Plain, Problem, Resource, Word,
    example, form,
};
use kernel::Refusal;
use poem_openapi::OpenApi;
use poem_openapi::param::{Path, Query};
use poem_openapi::registry::MetaSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Tag;
use crate::responses::{Detail, Page};

/// The operations on sagas.
pub struct Rest {
    services: ByService<Instances>,
}

/// The reason for cancelling a saga.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"reason": "it was meant for another lead"}))]
struct Cancellation {
    /// Free text.
    #[schemars(length(min = *form::REASON.start(), max = *form::REASON.end()))]
    reason: String,
}

/// The saga that was changed.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[schemars(rename = "SagaTarget")]
struct Target {
    /// Its id.
    id: Uuid,
}

/// The state of a saga.
struct StateName(Status);

/// The cursor of a page: the start time and the id of the last saga of the previous page. As text: `<microseconds>_<id>`.
struct After(DateTime<Utc>, Uuid);

impl Rest {
    pub(crate) fn new(services: Vec<Instances>) -> Self {
        Self { services: ByService::new("sagas", services, |instances| instances.sagas().service()) }
    }
}

impl Example for Target {
    fn example() -> Self {
        Self { id: example::id(9) }
    }
}

#[OpenApi(tag = "Tag::Sagas")]
impl Rest {
    /// List the tenant's sagas, newest first
    ///
    /// Needs the permission `<service>:saga:read`.
    #[oai(path = "/v1/sagas/:service", method = "get", operation_id = "listSagas")]
    #[expect(clippy::too_many_arguments, reason = "an argument is a parameter of the query string")]
    async fn list(
        &self,
        Authenticated(caller): Authenticated,
        service: Path<String>,
        /// Only sagas with this name, such as `follow_up_lead`.
        saga: Query<Option<String>>,
        /// Only sagas in this state.
        state: Query<Option<Parameter<StateName>>>,
        /// Only sagas with this key: the id of their subject, such as a lead or an import.
        key: Query<Option<String>>,
        /// The cursor of the page: `next` of the previous page.
        after: Query<Option<Parameter<After>>>,
        /// Page size: 1 to 200. Default: 50.
        limit: Query<Option<Parameter<Count>>>,
    ) -> Result<Plain<Page>, Problem> {
        let Parameter(limit) = limit.0.unwrap_or_default();
        let listing = Listing {
            saga: saga.0,
            status: state.0.map(|Parameter(StateName(status))| status),
            key: key.0,
            after: after.0.map(|Parameter(After(at, id))| (at, id)),
            limit: limit.selected(),
        };
        let instances = self.services.of(&service.0)?;
        let found = instances.list(&caller, &listing).await?;
        // The name is validated only if the list is empty: sagas that only an earlier version of the program had can still be listed.
        // And only after `list`, which checks the caller's permission.
        if let Some(saga) = listing.saga.as_deref().filter(|_| found.is_empty()) {
            let unknown = |detail: String| Refusal::invalid("parameter_invalid", detail).with("parameter", "saga");
            instances.sagas().check(saga).map_err(unknown)?;
        }
        let (found, next) = limit.page(found, |last| format!("{}_{}", last.started_at.timestamp_micros(), last.id));
        Ok(Plain(Page { sagas: found.into_iter().map(Into::into).collect(), next }))
    }

    /// Get a saga's current state
    ///
    /// Needs the permission `<service>:saga:read`.
    #[oai(path = "/v1/sagas/:service/:saga", method = "get", operation_id = "getSaga")]
    async fn get(
        &self,
        Authenticated(caller): Authenticated,
        service: Path<String>,
        saga: Path<Uuid>,
    ) -> Result<Resource<Detail>, Problem> {
        let found = self.services.of(&service.0)?.find(&caller, saga.0).await?;
        Ok(Resource { version: found.version, body: Detail::of(saga.0, found) })
    }

    /// Resume a stuck saga
    ///
    /// It continues at the step where it was, with the full number of attempts. Needs the permission `<service>:saga:write`.
    #[oai(path = "/v1/sagas/:service/:saga/resume", method = "post", operation_id = "resumeSaga")]
    async fn resume(
        &self,
        service: Path<String>,
        saga: Path<Uuid>,
        command: Command<Empty>,
    ) -> Result<Changed<Target>, Problem> {
        let instances = self.services.of(&service.0)?;
        let done = instances.resume(&command.request, saga.0).await?;
        Ok(Changed::new(instances.sagas().service(), done, |()| Target { id: saga.0 }))
    }

    /// Cancel a saga
    ///
    /// The steps that are done are undone in reverse order. Needs the permission `<service>:saga:write`.
    #[oai(path = "/v1/sagas/:service/:saga/cancel", method = "post", operation_id = "cancelSaga")]
    async fn cancel(
        &self,
        service: Path<String>,
        saga: Path<Uuid>,
        command: Command<Cancellation>,
    ) -> Result<Changed<Target>, Problem> {
        let instances = self.services.of(&service.0)?;
        let mut checks = kernel::Checks::default();
        let reason = checks.paragraph("/reason", &command.body.reason, form::REASON);
        checks.finish()?;
        let done = instances.cancel(&command.request, saga.0, reason).await?;
        Ok(Changed::new(instances.sagas().service(), done, |()| Target { id: saga.0 }))
    }
}

impl Word for StateName {
    const NAME: &'static str = "state";

    fn schema() -> MetaSchema {
        let names = Status::ALL.map(|status| status.as_str().into()).to_vec();
        MetaSchema { enum_items: names, ..MetaSchema::new("string") }
    }

    fn read(text: &str) -> Result<Self, String> {
        Status::named(text).map(Self).ok_or_else(|| format!("{text:?} is not a state of a saga"))
    }
}

impl Word for After {
    const NAME: &'static str = "after";

    fn read(text: &str) -> Result<Self, String> {
        let read = || {
            let (at, id) = text.split_once('_')?;
            // A time before 1970 is refused: no saga is that old, and Postgres does not support all times that can be written here.
            let at = DateTime::from_timestamp_micros(at.parse().ok()?).filter(|at| *at >= DateTime::UNIX_EPOCH)?;
            Some(Self(at, id.parse().ok()?))
        };
        read().ok_or_else(|| format!("{text:?} is not a cursor from `next` of a page"))
    }
}
