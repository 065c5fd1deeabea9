//! Response bodies of the operations that read sagas.

use chrono::{DateTime, Utc};
use coordinator::{Listed, State, Status};
use face::{Example, example};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

/// A page of sagas, newest first.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Sagas")]
pub struct Page {
    /// The sagas.
    pub sagas: Vec<Summary>,
    /// The cursor of the next page: send it as `after`. Absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A saga as the list shows it. The list can be some milliseconds behind the event log.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SagaSummary")]
pub struct Summary {
    /// Its id.
    id: Uuid,
    /// Its name, such as `follow_up_lead`.
    saga: String,
    /// The version of its definition.
    definition: u32,
    /// The id of its subject, such as a lead or an import.
    key: String,
    /// `running`, `unwinding`, `stuck`, `completed` or `compensated`.
    #[schemars(extend("enum" = Status::ALL.map(Status::as_str)))]
    state: &'static str,
    /// The current step.
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<String>,
    /// Whether the current step is being undone.
    undo: bool,
    /// The current batch of the step, counted from 0.
    turn: u32,
    /// Number of attempts at the step since it last made progress.
    attempt: u32,
    /// The code of the reason why it unwinds, is stuck, is retried or ended as it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    /// The reason in words, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// When it continues. Absent if it does not continue by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    wake_at: Option<DateTime<Utc>>,
    /// When it started.
    started_at: DateTime<Utc>,
    /// When it last changed.
    changed_at: DateTime<Utc>,
}

/// A saga in its current state, from its event stream.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Saga")]
pub struct Detail {
    /// Its id.
    id: Uuid,
    /// Its name, such as `follow_up_lead`.
    saga: String,
    /// The version of its definition.
    definition: u32,
    /// The id of its subject, such as a lead or an import.
    key: String,
    /// Its parameters.
    parameters: serde_json::Value,
    /// The id of the event that started it.
    trigger: Uuid,
    /// `running`, `unwinding`, `stuck`, `completed` or `compensated`.
    #[schemars(extend("enum" = Status::ALL.map(Status::as_str)))]
    state: &'static str,
    /// Whether it undoes its steps; this is also shown while it is stuck.
    unwinding: bool,
    /// The current step.
    #[serde(skip_serializing_if = "Option::is_none")]
    current: Option<CurrentStep>,
    /// The steps that are done and were not undone.
    done: Vec<DoneStep>,
    /// The code of the reason why it unwinds, is stuck, is retried or ended as it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    /// The reason in words, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// The current step.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SagaCurrentStep")]
struct CurrentStep {
    /// Its name.
    step: String,
    /// Whether the step is being undone.
    undo: bool,
    /// The current batch, counted from 0.
    turn: u32,
    /// Number of attempts since it last made progress.
    attempt: u32,
    /// Number of failed attempts since it last made progress.
    failures: u32,
    /// The progress that its last batch stored.
    progress: serde_json::Value,
    /// When the step was first started.
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<DateTime<Utc>>,
}

/// A step that is done.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SagaDoneStep")]
struct DoneStep {
    /// Its name.
    step: String,
    /// The result of the step.
    result: serde_json::Value,
    /// Whether the step was in progress when the undoing began. It is then not known how much of it was done.
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
    /// The current state of a saga instance.
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
