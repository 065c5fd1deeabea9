//! The state of a saga instance, computed from its facts.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::facts::{Fact, Started, StepBegun, StepDone, Unwinding};

/// The status of an instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Steps are executed, waited for, or retried.
    #[default]
    Running,
    /// Completed steps are being undone.
    Unwinding,
    /// Parked: it waits until a person resumes or cancels it.
    Stuck,
    /// Final: all steps are done.
    Completed,
    /// Final: all steps are undone.
    Compensated,
}

impl Status {
    /// All statuses, in the order of an instance's life.
    pub const ALL: [Self; 5] = [Self::Running, Self::Unwinding, Self::Stuck, Self::Completed, Self::Compensated];

    /// The name in JSON and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Unwinding => "unwinding",
            Self::Stuck => "stuck",
            Self::Completed => "completed",
            Self::Compensated => "compensated",
        }
    }

    /// The status with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }

    /// Whether the coordinator executes this instance, now or later.
    pub const fn is_active(self) -> bool {
        matches!(self, Self::Running | Self::Unwinding)
    }
}

/// The phase of the current step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// It is running, or the process that ran it was killed; its progress is unknown.
    Begun,
    /// A batch is done, and the next one has not begun.
    Between,
    /// It waits until this time, or until an event wakes it.
    Waiting(DateTime<Utc>),
    /// It failed, and is retried at this time.
    Failed(DateTime<Utc>),
}

/// The current step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Current {
    /// The step's name.
    pub step: String,
    /// Whether the step is being undone.
    pub undo: bool,
    /// The number of the batch, from 0.
    pub turn: u32,
    /// How often it was begun since its last progress.
    pub attempt: u32,
    /// How often it failed since its last progress.
    pub failures: u32,
    /// When it was first begun; its time limit counts from here. `None` after a person resumed it: the time limit starts again.
    pub since: Option<DateTime<Utc>>,
    /// What the last batch returned.
    pub progress: Value,
    /// Its phase.
    pub phase: Phase,
    /// Whether an earlier attempt of this turn may have executed commands: it was interrupted, or it failed.
    #[serde(default)]
    pub repeated: bool,
}

/// A step that is done and not undone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DoneStep {
    /// The step's name.
    pub step: String,
    /// Its result. If it was interrupted (`partly`), the progress of its last batch.
    pub result: Value,
    /// Whether it was interrupted when unwinding began.
    pub partly: bool,
}

/// The state of an instance.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// The saga's name.
    pub saga: String,
    /// The version of its definition.
    pub definition: u32,
    /// The subject of the saga, usually an aggregate's id.
    pub key: String,
    /// The parameters that its definition returned at the start. No personal data.
    pub parameters: Value,
    /// The event that started it.
    pub trigger: Uuid,
    /// The correlation id: the same for everything that one request caused.
    pub correlation: Uuid,
    /// Its status.
    pub status: Status,
    /// Whether it is being undone. Stays true while it is stuck.
    pub unwinding: bool,
    /// The current step.
    pub current: Option<Current>,
    /// The steps that are done, in order.
    pub done: Vec<DoneStep>,
    /// Why it unwinds, is retried or is stuck, or how it ended: a code and a sentence.
    pub why: Option<(String, String)>,
    /// The number of facts applied: the version of its stream.
    pub version: u64,
}

impl State {
    /// When the coordinator has to execute it: `now` for at once, `None` for never.
    pub fn wake_at(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        if !self.status.is_active() {
            return None;
        }
        match self.current.as_ref().map(|current| current.phase) {
            Some(Phase::Waiting(at) | Phase::Failed(at)) => Some(at),
            Some(Phase::Begun | Phase::Between) | None => Some(now),
        }
    }

    /// The result of a step that is done.
    pub fn result_of(&self, step: &str) -> Option<&Value> {
        self.done.iter().find(|done| done.step == step).map(|done| &done.result)
    }

    /// Whether a step was begun and is not undone.
    pub fn has_begun(&self, step: &str) -> bool {
        let is_current = self.current.as_ref().is_some_and(|current| current.step == step && !current.undo);
        is_current || self.done.iter().any(|done| done.step == step)
    }

    /// Applies a fact.
    pub fn evolve(&mut self, fact: Fact) {
        self.version += 1;
        match fact {
            Fact::Started(started) => self.start(started),
            Fact::StepBegun(begun) => self.begin_step(begun),
            Fact::StepContinued(continued) => {
                if let Some(current) = &mut self.current {
                    current.turn += 1;
                    current.progress = continued.progress;
                    current.repeated = false;
                    current.get_on(Phase::Between);
                }
            }
            Fact::StepWaiting(waiting) => {
                if let Some(current) = &mut self.current {
                    current.get_on(Phase::Waiting(waiting.until));
                }
            }
            Fact::StepFailed(failed) => {
                if let Some(current) = &mut self.current {
                    current.failures += 1;
                    current.phase = Phase::Failed(failed.retry_at);
                }
                self.why = Some((failed.code, failed.reason));
            }
            Fact::StepDone(done) => self.finish_step(done),
            Fact::Unwinding(unwinding) => self.unwind(unwinding),
            Fact::Completed(completed) => {
                self.status = Status::Completed;
                self.current = None;
                self.why = Some((completed.outcome, String::new()));
            }
            Fact::Compensated(_) => {
                self.status = Status::Compensated;
                self.current = None;
            }
            Fact::Stuck(stuck) => {
                self.status = Status::Stuck;
                self.why = Some((stuck.code, stuck.reason));
            }
            Fact::Resumed(_) => self.resume(),
        }
    }

    fn start(&mut self, started: Started) {
        self.saga = started.saga;
        self.definition = started.definition;
        self.key = started.key;
        self.parameters = started.parameters;
        self.trigger = started.trigger;
        self.correlation = started.correlation;
    }

    fn begin_step(&mut self, begun: StepBegun) {
        let (failures, repeated, progress) = match self.current.take() {
            Some(current) => (current.failures, current.may_have_executed(), current.progress),
            None => (0, false, Value::Null),
        };
        self.current = Some(Current {
            step: begun.step,
            undo: begun.undo,
            turn: begun.turn,
            attempt: begun.attempt,
            failures,
            since: Some(begun.since),
            progress,
            phase: Phase::Begun,
            repeated,
        });
    }

    fn finish_step(&mut self, done: StepDone) {
        self.current = None;
        self.why = self.why.take().filter(|_| self.unwinding);
        if done.undo {
            // Steps after this one had no undo, so they are removed with it.
            let at = self.done.iter().position(|known| known.step == done.step).unwrap_or(0);
            self.done.truncate(at);
        } else {
            self.done.push(DoneStep { step: done.step, result: done.result, partly: false });
        }
    }

    fn unwind(&mut self, unwinding: Unwinding) {
        self.status = Status::Unwinding;
        self.unwinding = true;
        self.why = Some((unwinding.code, unwinding.reason));
        if let Some(current) = self.current.take().filter(Current::may_have_effects) {
            self.done.push(DoneStep { step: current.step, result: current.progress, partly: true });
        }
    }

    fn resume(&mut self) {
        self.status = if self.unwinding { Status::Unwinding } else { Status::Running };
        if let Some(current) = &mut self.current {
            // The time limit and the attempts start again.
            current.repeated = current.may_have_executed();
            current.get_on(Phase::Between);
            current.since = None;
        }
    }
}

impl Current {
    fn get_on(&mut self, phase: Phase) {
        (self.attempt, self.failures, self.phase) = (0, 0, phase);
    }

    /// Whether an attempt of this turn may have executed commands. One that waits has done nothing, but those before it may have.
    fn may_have_executed(&self) -> bool {
        self.repeated || matches!(self.phase, Phase::Begun | Phase::Failed(_))
    }

    /// Whether the step may have effects that have to be undone. A step that waits has done nothing since its last batch.
    fn may_have_effects(&self) -> bool {
        !self.undo && (self.turn > 0 || self.repeated || !matches!(self.phase, Phase::Waiting(_)))
    }
}
