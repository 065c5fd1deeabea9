//! What is shown of dead letters.

use chrono::{DateTime, Utc};
use deadletters::{Letter, Shown, State};
use face::{Example, example};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

/// Dead letters, the last event first.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DeadLetters")]
pub struct Page {
    /// These.
    pub dead_letters: Vec<Summary>,
    /// Where the next page begins: send it as `after`. Absent: this is the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// An event that a consumer could not take.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DeadLetterSummary")]
pub struct Summary {
    /// Its id: consumer and position.
    id: String,
    /// Who could not take it: kind and name.
    consumer: String,
    /// Where the event stands in the log.
    position: u64,
    /// The aggregate's type.
    aggregate_type: String,
    /// The aggregate's id.
    aggregate_id: String,
    /// The event's name.
    event_type: String,
    /// parked, waiting, applied or discarded.
    #[schemars(extend("enum" = State::ALL.map(State::as_str)))]
    state: &'static str,
    /// How often it was tried.
    attempts: u32,
    /// Why the last attempt that failed did, the outermost reason first.
    errors: Vec<String>,
    /// When it is tried again by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_attempt_at: Option<DateTime<Utc>>,
    /// When it was parked.
    parked_at: DateTime<Utc>,
    /// When that changed last.
    changed_at: DateTime<Utc>,
    /// How many later events of its aggregate wait behind it; at most 10,000 are counted.
    waiting: u64,
}

/// A dead letter with all there is to know.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DeadLetter")]
pub struct Detail {
    /// The letter.
    #[serde(flatten)]
    letter: Summary,
    /// Its event as the log has it.
    event: Event,
    /// The last attempts, the last one first.
    attempts_made: Vec<Attempt>,
    /// What was decided, the last decision first.
    decisions: Vec<Decision>,
}

/// An event as the log has it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DeadLetterEvent")]
struct Event {
    /// Its id.
    id: Uuid,
    /// Its number within its aggregate.
    sequence: u64,
    /// The version of its form.
    version: u32,
    /// Its payload.
    payload: Value,
    /// Its metadata.
    metadata: Value,
    /// When it happened.
    occurred_at: DateTime<Utc>,
    /// When the log took it.
    recorded_at: DateTime<Utc>,
}

/// An attempt.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DeadLetterAttempt")]
struct Attempt {
    /// Which one, from 1.
    nth: u32,
    /// When.
    at: DateTime<Utc>,
    /// Why it failed; none: it did not.
    errors: Vec<String>,
}

/// What somebody decided.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DeadLetterDecision")]
struct Decision {
    /// redrive, edit or discard.
    #[schemars(extend("enum" = ["redrive", "edit", "discard"]))]
    kind: String,
    /// Who: the subject of their token.
    actor: String,
    /// Why.
    reason: String,
    /// When.
    decided_at: DateTime<Utc>,
    /// Of an edit: the payload as the consumer saw it until then.
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<Value>,
    /// Of an edit: the payload as it sees it since.
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<Value>,
}

/// What would come of it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DeadLetterPreview")]
pub struct Preview {
    /// Whether the event would be taken.
    applies: bool,
    /// Why not.
    errors: Vec<String>,
    /// The payload as the consumer sees it now.
    before: Value,
    /// The payload that was tried.
    after: Value,
    /// The events of today that it stands for; none where it can't be read.
    today: Vec<Value>,
    /// How many events would be taken, with those that wait behind it (200 of them are tried); absent where this consumer can't try
    /// without doing it.
    #[serde(skip_serializing_if = "Option::is_none")]
    taken: Option<u64>,
    /// The first of those that would not.
    #[serde(skip_serializing_if = "Option::is_none")]
    stops_at: Option<u64>,
    /// Why that one would not.
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
    /// One with all of it.
    pub fn of(shown: Shown) -> Self {
        let event = shown.event;
        let attempt = |one: deadletters::Attempt| Attempt { nth: one.attempt, at: one.at, errors: one.errors };
        let decision = |one: deadletters::Decided| Decision {
            kind: one.kind,
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
        let taken = preview.rehearsal.as_ref().map(|rehearsal| rehearsal.taken);
        let stop = preview.rehearsal.and_then(|rehearsal| rehearsal.failed);
        let (stops_at, stops_because) = stop.map(|(at, errors)| (at.0, errors)).unzip();
        Self {
            applies: errors.is_none(),
            errors: errors.unwrap_or_default(),
            before: json(preview.before.as_bytes()),
            after: json(preview.after.as_bytes()),
            today: preview.today.unwrap_or_default(),
            taken,
            stops_at,
            stops_because: stops_because.unwrap_or_default(),
        }
    }
}

/// As JSON; as text, should it be none.
fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_else(|_| Value::String(String::from_utf8_lossy(bytes).into_owned()))
}

/// Why the letter of the examples is one.
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
            kind: "redrive".to_owned(),
            actor: "ada".to_owned(),
            reason: "the table is mended".to_owned(),
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
