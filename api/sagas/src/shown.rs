//! What is shown of sagas.

use chrono::{DateTime, Utc};
use coordinator::{Listed, State, Status};
use face::{Example, example};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

/// Sagas, newest first.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Sagas")]
pub struct Page {
    /// These.
    pub sagas: Vec<Summary>,
    /// Where the next page begins: send it as `after`. Absent: this is the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A saga as the list shows it: some milliseconds behind what happens.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SagaSummary")]
pub struct Summary {
    /// Its id.
    id: Uuid,
    /// Its name, such as `follow_up_lead`.
    saga: String,
    /// The version of its definition.
    definition: u32,
    /// What it is about: an id.
    key: String,
    /// running, unwinding, stuck, completed or compensated.
    #[schemars(extend("enum" = Status::ALL.map(Status::as_str)))]
    state: &'static str,
    /// The step under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<String>,
    /// Whether that is being undone.
    undo: bool,
    /// Which batch of the step, from 0.
    turn: u32,
    /// How often the step was begun since it last got on.
    attempt: u32,
    /// Why it unwinds, is stuck or is retried, or how it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    /// The same, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// When it goes on; absent: not by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    wake_at: Option<DateTime<Utc>>,
    /// When it began.
    started_at: DateTime<Utc>,
    /// When it last changed.
    changed_at: DateTime<Utc>,
}

/// A saga as its history has made it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Saga")]
pub struct Detail {
    /// Its id.
    id: Uuid,
    /// Its name, such as `follow_up_lead`.
    saga: String,
    /// The version of its definition.
    definition: u32,
    /// What it is about: an id.
    key: String,
    /// What it works with.
    parameters: serde_json::Value,
    /// The event that started it.
    trigger: Uuid,
    /// running, unwinding, stuck, completed or compensated.
    #[schemars(extend("enum" = Status::ALL.map(Status::as_str)))]
    state: &'static str,
    /// Whether it takes back what it did; also while it is stuck.
    unwinding: bool,
    /// The step under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    current: Option<CurrentStep>,
    /// The steps that are done and not undone.
    done: Vec<DoneStep>,
    /// Why it unwinds, is stuck or is retried, or how it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    /// The same, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// The step under way.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SagaCurrentStep")]
struct CurrentStep {
    /// Its name.
    step: String,
    /// Whether it is being undone.
    undo: bool,
    /// Which batch, from 0.
    turn: u32,
    /// How often it was begun since it last got on.
    attempt: u32,
    /// How often it failed since it last got on.
    failures: u32,
    /// What its last batch left.
    progress: serde_json::Value,
    /// When it was first begun.
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<DateTime<Utc>>,
}

/// A step that is done.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SagaDoneStep")]
struct DoneStep {
    /// Its name.
    step: String,
    /// What it left.
    result: serde_json::Value,
    /// It was under way when unwinding began: nobody knows how far it came.
    partly: bool,
}

impl From<Listed> for Summary {
    fn from(one: Listed) -> Self {
        Self {
            id: one.id,
            saga: one.saga,
            definition: one.definition,
            key: one.key,
            state: one.status.as_str(),
            step: one.step,
            undo: one.undo,
            turn: one.turn,
            attempt: one.attempt,
            code: one.code,
            reason: one.reason.filter(|reason| !reason.is_empty()),
            wake_at: one.wake_at,
            started_at: one.started_at,
            changed_at: one.changed_at,
        }
    }
}

impl Detail {
    /// An instance.
    pub fn of(id: Uuid, state: State) -> Self {
        let (code, reason) = state.why.unzip();
        Self {
            id,
            saga: state.saga,
            definition: state.definition,
            key: state.key,
            parameters: state.parameters,
            trigger: state.trigger,
            state: state.status.as_str(),
            unwinding: state.unwinding,
            current: state.current.map(|current| CurrentStep {
                step: current.step,
                undo: current.undo,
                turn: current.turn,
                attempt: current.attempt,
                failures: current.failures,
                progress: current.progress,
                since: current.since,
            }),
            done: state
                .done
                .into_iter()
                .map(|done| DoneStep { step: done.step, result: done.result, partly: done.partly })
                .collect(),
            code,
            reason: reason.filter(|reason| !reason.is_empty()),
        }
    }
}

impl Example for Page {
    fn example() -> Self {
        let stuck = Summary {
            id: example::id(9),
            saga: "follow_up_lead".to_owned(),
            definition: 1,
            key: example::id(1).to_string(),
            state: Status::Stuck.as_str(),
            step: Some("reassign".to_owned()),
            undo: false,
            turn: 0,
            attempt: 5,
            code: Some("log_unavailable".to_owned()),
            reason: Some("the log does not answer; try again".to_owned()),
            wake_at: None,
            started_at: example::time(0),
            changed_at: example::time(5 * 24 * 60),
        };
        Self { sagas: vec![stuck], next: Some(format!("1777887000000000_{}", example::id(9))) }
    }
}

impl Example for Detail {
    fn example() -> Self {
        let current = CurrentStep {
            step: "reassign".to_owned(),
            undo: false,
            turn: 0,
            attempt: 1,
            failures: 0,
            progress: Value::Null,
            since: Some(example::time(3 * 24 * 60)),
        };
        Self {
            id: example::id(9),
            saga: "follow_up_lead".to_owned(),
            definition: 1,
            key: example::id(1).to_string(),
            parameters: json!({ "lead": example::id(1), "escalate_to": "grace", "reassign_to": "hedy" }),
            trigger: example::id(10),
            state: Status::Running.as_str(),
            unwinding: false,
            current: Some(current),
            done: vec![DoneStep { step: "escalate".to_owned(), result: Value::Null, partly: false }],
            code: None,
            reason: None,
        }
    }
}
