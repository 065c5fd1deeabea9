//! An instance as an aggregate of its service's log.

use std::marker::PhantomData;

use kernel::{Aggregate, Refusal};
use serde::{Deserialize, Serialize};

use crate::Names;
use crate::facts::{Fact, InstanceEvent, Resumed, Started, Unwinding};
use crate::state::{State, Status};

/// A saga that runs, or ran.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent, bound = "")]
pub struct Instance<N> {
    /// How it stands.
    pub state: State,
    #[serde(skip)]
    names: PhantomData<N>,
}

/// What can be asked of an instance.
#[derive(Clone, Debug, PartialEq)]
pub enum InstanceCommand {
    /// Begin.
    Start(Started),
    /// Note what the coordinator did, on the state of this version.
    Advance {
        /// The version on which the facts rest.
        version: u64,
        /// What happened.
        facts: Vec<Fact>,
    },
    /// A person lets a stuck one go on.
    Resume,
    /// A person wants it taken back.
    Cancel {
        /// Why.
        reason: String,
        /// The steps of its definition from which there is no way back.
        final_steps: Vec<&'static str>,
    },
}

/// Why an instance says no.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InstanceError {
    /// Another coordinator, or a person, was faster.
    #[error("the saga is at version {actual}, not at {expected}")]
    MovedOn {
        /// The version that it has.
        actual: u64,
        /// The version that was thought of.
        expected: u64,
    },
    /// Only what is stuck can be resumed.
    #[error("a saga that is {} can't be resumed; allowed: stuck", .status.as_str())]
    NotStuck {
        /// How it stands.
        status: Status,
    },
    /// Only what is on its way forward can be cancelled.
    #[error("a saga that is {} can't be cancelled; allowed: running, and stuck before it unwinds", .status.as_str())]
    NotCancellable {
        /// How it stands.
        status: Status,
    },
    /// What has no way back is brought to its end.
    #[error(
        "the saga has begun {step}, from which there is no way back: it can't be cancelled, but resumed where it is stuck"
    )]
    NoWayBack {
        /// How it stands.
        status: Status,
        /// The step that was begun.
        step: &'static str,
    },
}

impl From<InstanceError> for Refusal {
    fn from(error: InstanceError) -> Self {
        let detail = error.to_string();
        match error {
            InstanceError::MovedOn { .. } => Self::conflict("saga_moved_on", detail),
            InstanceError::NotStuck { status } => {
                Self::conflict("saga_not_stuck", detail).with("state", status.as_str())
            }
            InstanceError::NotCancellable { status } => {
                Self::conflict("saga_not_cancellable", detail).with("state", status.as_str())
            }
            InstanceError::NoWayBack { status, step } => {
                Self::conflict("saga_not_cancellable", detail).with("state", status.as_str()).with("step", step)
            }
        }
    }
}

impl<N: Names> Aggregate for Instance<N> {
    const TYPE: &'static str = N::TYPE;
    type Command = InstanceCommand;
    type Event = InstanceEvent<N>;
    type Error = InstanceError;

    fn decide(&self, command: InstanceCommand) -> Result<Vec<Self::Event>, InstanceError> {
        let status = self.state.status;
        let facts: Vec<Fact> = match command {
            InstanceCommand::Start(started) => vec![started.into()],
            InstanceCommand::Advance { version, facts } => {
                if version != self.state.version {
                    return Err(InstanceError::MovedOn { actual: self.state.version, expected: version });
                }
                facts
            }
            InstanceCommand::Resume if status == Status::Stuck => vec![Resumed {}.into()],
            InstanceCommand::Resume => return Err(InstanceError::NotStuck { status }),
            InstanceCommand::Cancel { reason, final_steps }
                if status == Status::Running || status == Status::Stuck && !self.state.unwinding =>
            {
                if let Some(step) = final_steps.into_iter().find(|step| self.state.has_begun(step)) {
                    return Err(InstanceError::NoWayBack { status, step });
                }
                vec![Unwinding { code: "cancelled".to_owned(), reason }.into()]
            }
            InstanceCommand::Cancel { .. } => return Err(InstanceError::NotCancellable { status }),
        };
        Ok(facts.into_iter().map(InstanceEvent::from).collect())
    }

    fn evolve(&mut self, event: Self::Event) {
        self.state.evolve(event.fact);
    }
}
