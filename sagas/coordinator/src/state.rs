//! An instance as its history has made it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::facts::{Fact, Started, StepBegun, StepDone, Unwinding};

/// How an instance stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Steps are done, or waited for.
    #[default]
    Running,
    /// What was done is taken back.
    Unwinding,
    /// Parked: a person has to resume or cancel it.
    Stuck,
    /// Final: done.
    Completed,
    /// Final: all is taken back.
    Compensated,
}

impl Status {
    /// All, in the order in which people think of them.
    pub const ALL: [Self; 5] = [Self::Running, Self::Unwinding, Self::Stuck, Self::Completed, Self::Compensated];

    /// Its name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Unwinding => "unwinding",
            Self::Stuck => "stuck",
            Self::Completed => "completed",
            Self::Compensated => "compensated",
        }
    }

    /// The status of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }

    /// Whether the coordinator has something to do for it, now or later.
    pub const fn is_active(self) -> bool {
        matches!(self, Self::Running | Self::Unwinding)
    }
}

/// What the step under way is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// It runs, or whoever ran it died: nobody knows how far it came.
    Begun,
    /// A batch is done, the next not begun.
    Between,
    /// It waits for this time, or to hear something.
    Waiting(DateTime<Utc>),
    /// It failed and is tried again at this time.
    Failed(DateTime<Utc>),
}

/// The step under way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Current {
    /// Its name.
    pub step: String,
    /// Whether it is being undone.
    pub undo: bool,
    /// Which batch, from 0.
    pub turn: u32,
    /// How often it was begun since it last got on.
    pub attempt: u32,
    /// How often it failed since it last got on.
    pub failures: u32,
    /// When it was first begun; none: a person let it go on, and its time begins anew.
    pub since: Option<DateTime<Utc>>,
    /// What its last batch left.
    pub progress: Value,
    /// What it is doing.
    pub phase: Phase,
}

/// A step that is done and not undone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DoneStep {
    /// Its name.
    pub step: String,
    /// What it left: its result, or if it is not known to be finished, the progress of its last batch.
    pub result: Value,
    /// It was under way when unwinding began.
    pub partly: bool,
}

/// An instance as its history has made it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// The saga's name.
    pub saga: String,
    /// The version of its definition.
    pub definition: u32,
    /// What it is about.
    pub key: String,
    /// What it works with.
    pub parameters: Value,
    /// The event that started it.
    pub trigger: Uuid,
    /// The same through all that one request caused.
    pub correlation: Uuid,
    /// How it stands.
    pub status: Status,
    /// Whether it is on its way back; also remembered while it is stuck.
    pub unwinding: bool,
    /// The step under way.
    pub current: Option<Current>,
    /// Steps that are done, in their order.
    pub done: Vec<DoneStep>,
    /// Why it unwinds or is stuck, or how it ended: a code, and a sentence.
    pub why: Option<(String, String)>,
    /// How many facts made it: the stream's version.
    pub version: u64,
}

impl State {
    /// When there is something to do for it; none: never, as far as it knows. `now`: at once.
    pub fn wake_at(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        if !self.status.is_active() {
            return None;
        }
        match self.current.as_ref().map(|current| current.phase) {
            Some(Phase::Waiting(at) | Phase::Failed(at)) => Some(at),
            Some(Phase::Begun | Phase::Between) | None => Some(now),
        }
    }

    /// What a step left behind.
    pub fn result_of(&self, step: &str) -> Option<&Value> {
        self.done.iter().find(|done| done.step == step).map(|done| &done.result)
    }

    /// Whether a step was begun, and is not undone.
    pub fn has_begun(&self, step: &str) -> bool {
        let is_current = self.current.as_ref().is_some_and(|current| current.step == step && !current.undo);
        is_current || self.done.iter().any(|done| done.step == step)
    }

    /// The state after a fact.
    pub fn evolve(&mut self, fact: Fact) {
        self.version += 1;
        match fact {
            Fact::Started(started) => self.start(started),
            Fact::StepBegun(begun) => self.begin_step(begun),
            Fact::StepContinued(continued) => {
                if let Some(current) = &mut self.current {
                    current.turn += 1;
                    current.progress = continued.progress;
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
        let (failures, progress) = match self.current.take() {
            Some(current) => (current.failures, current.progress),
            None => (0, Value::Null),
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
        });
    }

    fn finish_step(&mut self, done: StepDone) {
        self.current = None;
        self.why = self.why.take().filter(|_| self.unwinding);
        if done.undo {
            // Steps after it had nothing to be undone.
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
            // A new time limit, and all attempts again.
            current.get_on(Phase::Between);
            current.since = None;
        }
    }
}

impl Current {
    fn get_on(&mut self, phase: Phase) {
        (self.attempt, self.failures, self.phase) = (0, 0, phase);
    }

    /// Whether the step may have done something that has to be undone. What waits has done nothing since its last batch.
    fn may_have_effects(&self) -> bool {
        !self.undo && (self.turn > 0 || !matches!(self.phase, Phase::Waiting(_)))
    }
}
