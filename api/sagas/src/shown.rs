//! What is shown of sagas.

use chrono::{DateTime, Utc};
use coordinator::{Listed, State, Status};
use schemars::JsonSchema;
use serde::Serialize;
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
