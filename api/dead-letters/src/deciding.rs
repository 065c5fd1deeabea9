//! The operations that decide.

use deadletters::{Consumer, Kind, LetterId, Request};
use face::{Command, Example, Noted, Parameter, Problem};
use kernel::{Checks, FieldError, Refusal};
use poem_openapi::OpenApi;
use poem_openapi::param::Path;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::parameters::Id;
use crate::{ByService, Tag};

/// To decide about dead letters.
pub struct Deciding {
    services: ByService,
}

/// Why one is tried again.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "DeadLetterRedrive")]
#[schemars(example = serde_json::json!({"reason": "the table is mended"}))]
struct Redrive {
    /// In the caller's words.
    #[serde(default)]
    #[schemars(length(max = 500))]
    reason: String,
}

/// Which are tried again, and why.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "DeadLettersRedrive")]
#[schemars(example = serde_json::json!({"consumer": "projection.leads", "reason": "the table is mended"}))]
struct RedriveAll {
    /// Only those of this consumer, such as `projection.leads`.
    #[serde(default)]
    #[schemars(length(max = 111))]
    consumer: Option<String>,
    /// In the caller's words.
    #[serde(default)]
    #[schemars(length(max = 500))]
    reason: String,
}

/// Why one is discarded.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "DeadLetterDiscard")]
#[schemars(example = serde_json::json!({"reason": "a test of long ago"}))]
struct Discard {
    /// In the caller's words.
    #[schemars(length(min = 1, max = 500))]
    reason: String,
}

/// What its consumer sees instead, and why.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "DeadLetterEdit")]
#[schemars(example = serde_json::json!({"payload": {"event": "crm.lead.assigned", "owner": "ada"}, "reason": "misspelt by the import"}))]
struct Edit {
    /// The payload; the log keeps the one that it has.
    payload: Value,
    /// In the caller's words.
    #[schemars(length(min = 1, max = 500))]
    reason: String,
}

/// What was decided.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DeadLetterTarget")]
struct Target {
    /// Which one.
    id: String,
    /// What follows from it.
    consequence: String,
}

/// How many are tried again.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DeadLettersTarget")]
struct Targets {
    /// So many.
    letters: u64,
}

impl Deciding {
    pub(crate) fn new(services: ByService) -> Self {
        Self { services }
    }
}

impl Example for Target {
    fn example() -> Self {
        let consequence = "projection.leads tries it now".to_owned();
        Self { id: "projection.leads.1042".to_owned(), consequence }
    }
}

impl Example for Targets {
    fn example() -> Self {
        Self { letters: 12 }
    }
}

#[OpenApi(tag = "Tag::DeadLetters")]
impl Deciding {
    /// Try all parked dead letters of the tenant at once
    ///
    /// Each with what waits behind it, in order. What still can't be taken stays parked. Needs the permission
    /// `<service>:dead_letter:write`.
    #[oai(path = "/v1/dead-letters/:service/redrive", method = "post", operation_id = "redriveDeadLetters")]
    async fn redrive_all(
        &self,
        service: Path<String>,
        command: Command<RedriveAll>,
    ) -> Result<Noted<Targets>, Problem> {
        let dead_letters = self.services.of(&service.0)?;
        let reason = said(&command.body.reason, 0)?;
        let consumer = command.body.consumer.as_deref().map(named).transpose()?;
        let done = dead_letters.redrive_all(&request(&command.request)?, consumer.as_ref(), &reason).await?;
        Ok(Noted::new(done.repeated, Targets { letters: done.letters }))
    }

    /// Try a parked dead letter at once
    ///
    /// With what waits behind it, in order. If it still can't be taken it stays parked. Needs the permission
    /// `<service>:dead_letter:write`.
    #[oai(path = "/v1/dead-letters/:service/:letter/redrive", method = "post", operation_id = "redriveDeadLetter")]
    async fn redrive(
        &self,
        service: Path<String>,
        /// Its id, such as `projection.leads.1234`.
        letter: Path<Parameter<Id>>,
        command: Command<Redrive>,
    ) -> Result<Noted<Target>, Problem> {
        let Path(Parameter(Id(id))) = letter;
        let dead_letters = self.services.of(&service.0)?;
        let reason = said(&command.body.reason, 0)?;
        let done = dead_letters.redrive(&request(&command.request)?, &id, &reason).await?;
        Ok(noted(done.repeated, &id, format!("{} tries it now", id.consumer)))
    }

    /// Let a dead letter's consumer see another payload
    ///
    /// Only this consumer, now and when it is built anew; the log does not change. It is rehearsed first, and refused if it could not be
    /// taken like that either. Who, when, why, before and after are kept. Needs the permission `<service>:dead_letter:write`.
    #[oai(path = "/v1/dead-letters/:service/:letter/edit", method = "post", operation_id = "editDeadLetter")]
    async fn edit(
        &self,
        service: Path<String>,
        /// Its id, such as `projection.leads.1234`.
        letter: Path<Parameter<Id>>,
        command: Command<Edit>,
    ) -> Result<Noted<Target>, Problem> {
        let Path(Parameter(Id(id))) = letter;
        let dead_letters = self.services.of(&service.0)?;
        let reason = said(&command.body.reason, 1)?;
        let (done, _) = dead_letters.edit(&request(&command.request)?, &id, &command.body.payload, &reason).await?;
        let consequence =
            format!("{} sees this payload from now on, and tries it now; the log stays as it is", id.consumer);
        Ok(noted(done.repeated, &id, consequence))
    }

    /// Discard a dead letter
    ///
    /// Its consumer never sees the event, now or when it is built anew; what waits behind it goes on without it. The log does not
    /// change. Needs the permission `<service>:dead_letter:write`.
    #[oai(path = "/v1/dead-letters/:service/:letter/discard", method = "post", operation_id = "discardDeadLetter")]
    async fn discard(
        &self,
        service: Path<String>,
        /// Its id, such as `projection.leads.1234`.
        letter: Path<Parameter<Id>>,
        command: Command<Discard>,
    ) -> Result<Noted<Target>, Problem> {
        let Path(Parameter(Id(id))) = letter;
        let dead_letters = self.services.of(&service.0)?;
        let reason = said(&command.body.reason, 1)?;
        let done = dead_letters.discard(&request(&command.request)?, &id, &reason).await?;
        let without = match id.consumer.kind() {
            Kind::Projection => "what it shows of the event's aggregate lacks the event, also after a rebuild",
            Kind::Saga => "the event begins nothing there",
            Kind::Webhook => "the event is not delivered there",
        };
        Ok(noted(done.repeated, &id, format!("{} never sees the event: {without}", id.consumer)))
    }
}

fn request(asked: &executor::Request) -> Result<Request, Refusal> {
    face::request_beside_the_log(asked, "dead letters")
}

fn noted(repeated: bool, id: &LetterId, consequence: String) -> Noted<Target> {
    Noted::new(repeated, Target { id: id.to_string(), consequence })
}

fn said(reason: &str, least: usize) -> Result<String, Refusal> {
    if least == 0 && reason.is_empty() {
        return Ok(String::new());
    }
    let mut checks = Checks::default();
    let reason = checks.paragraph("/reason", reason, 1..=500);
    checks.finish()?;
    Ok(reason)
}

fn named(consumer: &str) -> Result<Consumer, Refusal> {
    consumer.parse().map_err(|detail| {
        Refusal::fields(vec![FieldError { pointer: "/consumer".to_owned(), code: "consumer_unknown", detail }])
    })
}
