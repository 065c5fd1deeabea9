//! The REST operations that decide what happens to dead letters: retry, edit, discard.

use deadletters::{Consumer, DeadLetters, Kind, LetterId, Request};
use face::{ByService, Command, Example, Parameter, Problem, Unversioned, form};
use kernel::{Checks, Refusal};
use poem_openapi::OpenApi;
use poem_openapi::param::Path;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Tag;
use crate::parameters::Id;

/// The operations that retry, edit and discard dead letters.
pub struct Commands {
    services: ByService<DeadLetters>,
}

/// A request to retry a dead letter.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "DeadLetterRedrive")]
#[schemars(example = serde_json::json!({"reason": "the table is repaired"}))]
struct Redrive {
    /// The caller's reason, in their own words.
    #[serde(default)]
    #[schemars(length(max = *form::REASON.end()))]
    reason: String,
}

/// A request to retry all parked dead letters.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "DeadLettersRedrive")]
#[schemars(example = serde_json::json!({"consumer": "projection.leads", "reason": "the table is repaired"}))]
struct RedriveAll {
    /// Only dead letters of this consumer, such as `projection.leads`.
    #[serde(default)]
    #[schemars(length(max = 111))]
    consumer: Option<String>,
    /// The caller's reason, in their own words.
    #[serde(default)]
    #[schemars(length(max = *form::REASON.end()))]
    reason: String,
}

/// A request to discard a dead letter.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "DeadLetterDiscard")]
#[schemars(example = serde_json::json!({"reason": "a test of long ago"}))]
struct Discard {
    /// The caller's reason, in their own words.
    #[schemars(length(min = *form::REASON.start(), max = *form::REASON.end()))]
    reason: String,
}

/// A payload that the consumer sees instead of the recorded one.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "DeadLetterEdit")]
#[schemars(example = serde_json::json!({"payload": {"event": "crm.lead.assigned", "owner": "ada"}, "reason": "misspelt by the import"}))]
struct Edit {
    /// The new payload. The log keeps the recorded one.
    payload: Value,
    /// The caller's reason, in their own words.
    #[schemars(length(min = *form::REASON.start(), max = *form::REASON.end()))]
    reason: String,
}

/// The dead letter that was decided about.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DeadLetterTarget")]
struct Target {
    /// The dead letter's id.
    id: String,
    /// What happens next, for people.
    consequence: String,
}

/// How many dead letters are retried.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DeadLettersTarget")]
struct Targets {
    /// Number of dead letters.
    letters: u64,
}

impl Commands {
    pub(crate) fn new(services: ByService<DeadLetters>) -> Self {
        Self { services }
    }
}

impl Example for Target {
    fn example() -> Self {
        let consequence = "projection.leads retries it now".to_owned();
        Self { id: "projection.leads.1042".to_owned(), consequence }
    }
}

impl Example for Targets {
    fn example() -> Self {
        Self { letters: 12 }
    }
}

#[OpenApi(tag = "Tag::DeadLetters")]
impl Commands {
    /// Retry all parked dead letters at once
    ///
    /// Each one is retried together with the events that wait behind it, in order. Those that still fail stay parked. Needs the permission
    /// `<service>:dead_letter:write`.
    #[oai(path = "/v1/dead-letters/:service/redrive", method = "post", operation_id = "redriveDeadLetters")]
    async fn redrive_all(
        &self,
        service: Path<String>,
        command: Command<RedriveAll>,
    ) -> Result<Unversioned<Targets>, Problem> {
        let dead_letters = self.services.of(&service.0)?;
        let reason = checked_reason(&command.body.reason, 0)?;
        let consumer = command.body.consumer.as_deref().map(parse_consumer).transpose()?;
        let done = dead_letters.redrive_all(&request(&command.request)?, consumer.as_ref(), &reason).await?;
        Ok(Unversioned::new(done.repeated, Targets { letters: done.letters }))
    }

    /// Retry a parked dead letter at once
    ///
    /// It is retried together with the events that wait behind it, in order. If it still fails, it stays parked. Needs the permission
    /// `<service>:dead_letter:write`.
    #[oai(path = "/v1/dead-letters/:service/:letter/redrive", method = "post", operation_id = "redriveDeadLetter")]
    async fn redrive(
        &self,
        service: Path<String>,
        /// The dead letter's id, such as `projection.leads.1234`.
        letter: Path<Parameter<Id>>,
        command: Command<Redrive>,
    ) -> Result<Unversioned<Target>, Problem> {
        let Path(Parameter(Id(id))) = letter;
        let dead_letters = self.services.of(&service.0)?;
        let reason = checked_reason(&command.body.reason, 0)?;
        let done = dead_letters.redrive(&request(&command.request)?, &id, &reason).await?;
        Ok(unversioned(done.repeated, &id, format!("{} retries it now", id.consumer)))
    }

    /// Replace the payload that a consumer sees
    ///
    /// Only this consumer sees the new payload, now and in every later rebuild; the log does not change. The payload is tried first and
    /// refused if the consumer can't process it either. The log of decisions keeps who changed it, when, why, and both payloads. Needs the
    /// permission `<service>:dead_letter:write`; for an event that erases somebody, and in the services `user` and `auth`, whose consumers
    /// decide who may do what, also all permissions of the role `admin` (`exceeds_own_permissions`).
    #[oai(path = "/v1/dead-letters/:service/:letter/edit", method = "post", operation_id = "editDeadLetter")]
    async fn edit(
        &self,
        service: Path<String>,
        /// The dead letter's id, such as `projection.leads.1234`.
        letter: Path<Parameter<Id>>,
        command: Command<Edit>,
    ) -> Result<Unversioned<Target>, Problem> {
        let Path(Parameter(Id(id))) = letter;
        let dead_letters = self.services.of(&service.0)?;
        let reason = checked_reason(&command.body.reason, 1)?;
        let (done, _) = dead_letters.edit(&request(&command.request)?, &id, &command.body.payload, &reason).await?;
        let consequence =
            format!("{} sees this payload from now on, and retries it now; the log does not change", id.consumer);
        Ok(unversioned(done.repeated, &id, consequence))
    }

    /// Discard a dead letter
    ///
    /// Its consumer never sees the event, neither now nor in a later rebuild; the events that wait behind it continue without it. The log
    /// does not change. Needs the permission `<service>:dead_letter:write`; for an event that erases somebody, and in the services `user` and
    /// `auth`, whose consumers decide who may do what, also all permissions of the role `admin` (`exceeds_own_permissions`).
    #[oai(path = "/v1/dead-letters/:service/:letter/discard", method = "post", operation_id = "discardDeadLetter")]
    async fn discard(
        &self,
        service: Path<String>,
        /// The dead letter's id, such as `projection.leads.1234`.
        letter: Path<Parameter<Id>>,
        command: Command<Discard>,
    ) -> Result<Unversioned<Target>, Problem> {
        let Path(Parameter(Id(id))) = letter;
        let dead_letters = self.services.of(&service.0)?;
        let reason = checked_reason(&command.body.reason, 1)?;
        let done = dead_letters.discard(&request(&command.request)?, &id, &reason).await?;
        let without = match id.consumer.kind() {
            Kind::Projection => "its view of the event's aggregate lacks the event, also after a rebuild",
            Kind::Saga => "the event starts nothing there",
            Kind::Webhook => "the event is not delivered there",
        };
        Ok(unversioned(done.repeated, &id, format!("{} never sees the event: {without}", id.consumer)))
    }
}

fn request(asked: &executor::Request) -> Result<Request, Refusal> {
    face::idempotent_request(asked, "dead letters")
}

fn unversioned(repeated: bool, id: &LetterId, consequence: String) -> Unversioned<Target> {
    Unversioned::new(repeated, Target { id: id.to_string(), consequence })
}

/// Validates the reason of a request. An empty reason is allowed only if `min` is 0.
fn checked_reason(reason: &str, min: usize) -> Result<String, Refusal> {
    if min == 0 && reason.is_empty() {
        return Ok(String::new());
    }
    let mut checks = Checks::default();
    let reason = checks.paragraph("/reason", reason, form::REASON);
    checks.finish()?;
    Ok(reason)
}

fn parse_consumer(consumer: &str) -> Result<Consumer, Refusal> {
    consumer.parse().map_err(|detail: String| Refusal::field("/consumer", "consumer_unknown", detail))
}
