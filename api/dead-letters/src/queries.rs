//! The REST operations that change nothing: list, show, preview.

use deadletters::{DeadLetters, Listing, State};
use face::{Authenticated, ByService, Command, Count, Parameter, Plain, Problem};
use poem_openapi::OpenApi;
use poem_openapi::param::{Path, Query};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::Tag;
use crate::parameters::{ConsumerName, Id, StateName};
use crate::responses::{Detail, Page, Preview, Summary};

/// The operations that read dead letters and preview a retry.
pub struct Queries {
    services: ByService<DeadLetters>,
}

/// A payload to try.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "DeadLetterTrial")]
#[schemars(example = serde_json::json!({"payload": {"event": "crm.lead.assigned", "owner": "ada"}}))]
struct Trial {
    /// The payload. Default: the one that the consumer sees now.
    #[serde(default)]
    payload: Option<Value>,
}

impl Queries {
    pub(crate) fn new(services: ByService<DeadLetters>) -> Self {
        Self { services }
    }
}

#[OpenApi(tag = "Tag::DeadLetters")]
impl Queries {
    /// List the tenant's dead letters, latest event first
    ///
    /// Needs the permission `<service>:dead_letter:read`.
    #[oai(path = "/v1/dead-letters/:service", method = "get", operation_id = "listDeadLetters")]
    async fn list(
        &self,
        Authenticated(caller): Authenticated,
        service: Path<String>,
        /// Only dead letters of this consumer, such as `projection.leads`.
        consumer: Query<Option<Parameter<ConsumerName>>>,
        /// Only dead letters in this state. Default: `parked`.
        state: Query<Option<Parameter<StateName>>>,
        /// The `next` of the previous page.
        after: Query<Option<Parameter<Id>>>,
        /// Page size: 1 to 200. Default: 50.
        limit: Query<Option<Parameter<Count>>>,
    ) -> Result<Plain<Page>, Problem> {
        let Parameter(limit) = limit.0.unwrap_or_default();
        let listing = Listing {
            consumer: consumer.0.map(|Parameter(ConsumerName(consumer))| consumer),
            state: state.0.map_or(State::Parked, |Parameter(StateName(state))| state),
            after: after.0.map(|Parameter(Id(id))| id),
            limit: limit.selected(),
        };
        let found = self.services.of(&service.0)?.list(&caller, &listing).await?;
        let (found, next) = limit.page(found, |last| last.id.to_string());
        Ok(Plain(Page { dead_letters: found.into_iter().map(Summary::from).collect(), next }))
    }

    /// Get a dead letter
    ///
    /// With its event, errors, attempts and the decisions about it. Needs the permission `<service>:dead_letter:read`.
    #[oai(path = "/v1/dead-letters/:service/:letter", method = "get", operation_id = "getDeadLetter")]
    async fn get(
        &self,
        Authenticated(caller): Authenticated,
        service: Path<String>,
        /// The dead letter's id, such as `projection.leads.1234`.
        letter: Path<Parameter<Id>>,
    ) -> Result<Plain<Detail>, Problem> {
        let Path(Parameter(Id(id))) = letter;
        Ok(Plain(Detail::of(self.services.of(&service.0)?.find(&caller, &id).await?)))
    }

    /// Preview a retry of a parked dead letter
    ///
    /// Tries another payload, or the one that the consumer sees now, on the live tables in a transaction that is rolled back: nothing
    /// changes. Needs the permissions `<service>:dead_letter:write` and `<service>:dead_letter:read`.
    #[oai(path = "/v1/dead-letters/:service/:letter/preview", method = "post", operation_id = "previewDeadLetter")]
    async fn preview(
        &self,
        service: Path<String>,
        /// The dead letter's id, such as `projection.leads.1234`.
        letter: Path<Parameter<Id>>,
        command: Command<Trial>,
    ) -> Result<Plain<Preview>, Problem> {
        let Path(Parameter(Id(id))) = letter;
        face::refuse_event_headers(&command.request, "dead letters")?;
        let dead_letters = self.services.of(&service.0)?;
        Ok(Plain(dead_letters.preview(&command.request.caller, &id, command.body.payload.as_ref()).await?.into()))
    }
}
