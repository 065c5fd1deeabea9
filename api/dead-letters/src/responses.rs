//! Response bodies of the operations that read dead letters.

use chrono::{DateTime, Utc};
use deadletters::{DecisionKind, Letter, LetterDetails, State};
use face::{Example, example};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

/// Dead letters, latest event first.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DeadLetters")]
pub struct Page {
    /// The dead letters of this page.
    pub dead_letters: Vec<Summary>,
    /// Cursor of the next page: send it as `after`. Absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A dead letter: an event that a consumer could not process.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DeadLetterSummary")]
pub struct Summary {
    /// The dead letter's id: the consumer and the event's position.
    id: String,
    /// The consumer that could not process the event: its kind and name.
    consumer: String,
    /// The event's position in the service's log.
    position: u64,
    /// The type of the event's aggregate.
    aggregate_type: String,
    /// The id of the event's aggregate.
    aggregate_id: String,
    /// The event's type.
    event_type: String,
    /// The dead letter's state: parked, waiting, applied or discarded.
    #[schemars(extend("enum" = State::ALL.map(State::as_str)))]
    state: &'static str,
    /// Number of attempts so far.
    attempts: u32,
    /// Errors of the last failed attempt, outermost first.
    errors: Vec<String>,
    /// When the next automatic retry is due.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_attempt_at: Option<DateTime<Utc>>,
    /// When the event was parked.
    parked_at: DateTime<Utc>,
    /// When the dead letter last changed.
    changed_at: DateTime<Utc>,
    /// Number of later events of the same aggregate that wait behind this one. Counts at most 10,000.
    waiting: u64,
}

/// A dead letter with its event, attempts and decisions.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DeadLetter")]
pub struct Detail {
    /// The dead letter.
    #[serde(flatten)]
    letter: Summary,
    /// The event as the log has it.
    event: Event,
    /// The last attempts, latest first.
    attempts_made: Vec<Attempt>,
    /// The decisions about this dead letter, latest first.
    decisions: Vec<Decision>,
}

/// The event of a dead letter, as the log has it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DeadLetterEvent")]
struct Event {
    /// The event's id.
    id: Uuid,
    /// The event's sequence number in its aggregate.
    sequence: u64,
    /// The version of the event's schema.
    version: u32,
    /// The payload.
    payload: Value,
    /// The metadata.
    metadata: Value,
    /// When the event happened.
    occurred_at: DateTime<Utc>,
    /// When the log recorded the event.
    recorded_at: DateTime<Utc>,
}

/// An attempt to process the event again.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DeadLetterAttempt")]
struct Attempt {
    /// The number of the attempt, from 1.
    nth: u32,
    /// When the attempt was made.
    at: DateTime<Utc>,
    /// Why it failed. Empty: it succeeded.
    errors: Vec<String>,
}

/// A decision about a dead letter.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DeadLetterDecision")]
struct Decision {
    /// The kind of decision: redrive, edit or discard.
    #[schemars(extend("enum" = DecisionKind::ALL.map(DecisionKind::as_str)))]
    kind: &'static str,
    /// Who decided: the subject of their token.
    actor: String,
    /// The reason that was given.
    reason: String,
    /// When it was decided.
    decided_at: DateTime<Utc>,
    /// For an edit: the payload that the consumer saw before.
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<Value>,
    /// For an edit: the payload that the consumer sees since.
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<Value>,
}

/// The result of a preview.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DeadLetterPreview")]
pub struct Preview {
    /// Whether the consumer would process the event.
    applies: bool,
    /// Why it would not.
    errors: Vec<String>,
    /// The payload that the consumer sees now.
    before: Value,
    /// The payload that was tried.
    after: Value,
    /// The current events that the payload is upcast to. Empty if it can't be read.
    today: Vec<Value>,
    /// How many events would be processed, including those that wait behind this one (at most 200 of them are tried). Absent for consumers
    /// that can't try an event without its effects.
    #[serde(skip_serializing_if = "Option::is_none")]
    taken: Option<u64>,
    /// The position of the first event that would fail.
    #[serde(skip_serializing_if = "Option::is_none")]
    stops_at: Option<u64>,
    /// Why that event would fail.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stops_because: Vec<String>,
}

impl From<Letter> for Summary {
    fn from(one: Letter) -> Self {
        Self {
            id: one.id.to_string(),
            consumer: one.id.consumer.to_string(),
            position: one.id.position.0,
            aggregate_type: one.aggregate_type,
            aggregate_id: one.aggregate_id,
            event_type: one.event_type,
            state: one.state.as_str(),
            attempts: one.attempts,
            errors: one.errors,
            next_attempt_at: one.next_attempt_at,
            parked_at: one.parked_at,
            changed_at: one.changed_at,
            waiting: one.waiting,
        }
    }
}

impl Detail {
    /// A dead letter with all its details.
    pub fn of(shown: LetterDetails) -> Self {
        let event = shown.event;
        let attempt = |one: deadletters::Attempt| Attempt { nth: one.attempt, at: one.at, errors: one.errors };
        let decision = |one: deadletters::Decided| Decision {
            kind: one.kind.as_str(),
            actor: one.actor,
            reason: one.reason,
            decided_at: one.decided_at,
            before: one.before.map(|payload| json(payload.as_bytes())),
            after: one.after.map(|payload| json(payload.as_bytes())),
        };
        Self {
            letter: shown.letter.into(),
            event: Event {
                id: event.event_id,
                sequence: event.sequence,
                version: event.event_version,
                payload: json(&event.payload),
                metadata: json(&event.metadata),
                occurred_at: event.occurred_at,
                recorded_at: event.recorded_at,
            },
            attempts_made: shown.attempts.into_iter().map(attempt).collect(),
            decisions: shown.decisions.into_iter().map(decision).collect(),
        }
    }
}

impl From<deadletters::Preview> for Preview {
    fn from(preview: deadletters::Preview) -> Self {
        let errors = preview.why_not();
        let taken = preview.dry_run.as_ref().map(|dry_run| dry_run.taken);
        let stop = preview.dry_run.and_then(|dry_run| dry_run.failed);
        let (stops_at, stops_because) = stop.map(|(at, errors)| (at.0, errors)).unzip();
        Self {
            applies: errors.is_none(),
            errors: errors.unwrap_or_default(),
            before: json(preview.before.as_bytes()),
            after: json(preview.after.as_bytes()),
            today: preview.current_events.unwrap_or_default(),
            taken,
            stops_at,
            stops_because: stops_because.unwrap_or_default(),
        }
    }
}

/// The bytes as JSON, or as text if they are not JSON.
fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_else(|_| Value::String(String::from_utf8_lossy(bytes).into_owned()))
}

/// The error of the example.
const BROKEN: &str = "crm.lead.assigned can't be read: missing field `owner`";

impl Example for Summary {
    fn example() -> Self {
        Self {
            id: "projection.leads.1042".to_owned(),
            consumer: "projection.leads".to_owned(),
            position: 1042,
            aggregate_type: "crm.lead".to_owned(),
            aggregate_id: example::id(1).to_string(),
            event_type: "crm.lead.assigned".to_owned(),
            state: State::Parked.as_str(),
            attempts: 3,
            errors: vec![BROKEN.to_owned()],
            next_attempt_at: Some(example::time(60)),
            parked_at: example::time(0),
            changed_at: example::time(30),
            waiting: 2,
        }
    }
}

impl Example for Page {
    fn example() -> Self {
        Self { dead_letters: vec![Summary::example()], next: Some("projection.leads.1042".to_owned()) }
    }
}

impl Example for Detail {
    fn example() -> Self {
        let event = Event {
            id: example::id(2),
            sequence: 2,
            version: 1,
            payload: json!({ "event": "crm.lead.assigned" }),
            metadata: json!({ "actor": "ada" }),
            occurred_at: example::time(0),
            recorded_at: example::time(0),
        };
        let attempt = Attempt { nth: 3, at: example::time(30), errors: vec![BROKEN.to_owned()] };
        let decision = Decision {
            kind: DecisionKind::Redrive.as_str(),
            actor: "ada".to_owned(),
            reason: "the table is repaired".to_owned(),
            decided_at: example::time(20),
            before: None,
            after: None,
        };
        Self { letter: Summary::example(), event, attempts_made: vec![attempt], decisions: vec![decision] }
    }
}

impl Example for Preview {
    fn example() -> Self {
        let mended = json!({ "event": "crm.lead.assigned", "owner": "ada" });
        Self {
            applies: true,
            errors: Vec::new(),
            before: json!({ "event": "crm.lead.assigned" }),
            after: mended.clone(),
            today: vec![mended],
            taken: Some(3),
            stops_at: None,
            stops_because: Vec::new(),
        }
    }
}
