//! A saga instance as an aggregate in its service's log.

use std::marker::PhantomData;

use kernel::{Aggregate, Refusal};
use serde::{Deserialize, Serialize};

use crate::Names;
use crate::definition::FinalSteps;
use crate::facts::{Fact, InstanceEvent, Resumed, Started, Unwinding};
use crate::state::{State, Status};

/// A saga instance.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent, bound = "")]
pub struct Instance<N> {
    /// Its state.
    pub state: State,
    #[serde(skip)]
    names: PhantomData<N>,
}

/// The commands of an instance.
#[derive(Clone, Debug, PartialEq)]
pub enum InstanceCommand {
    /// Start it.
    Start(Started),
    /// Append the coordinator's facts, if the stream has this version.
    Advance {
        /// The version to which the facts apply.
        version: u64,
        /// The facts.
        facts: Vec<Fact>,
    },
    /// Resume it, if it is stuck; for a person.
    Resume,
    /// Cancel it, so that it is undone; for a person.
    Cancel {
        /// The reason, for people.
        reason: String,
        /// Those of its definition; `None` if this program does not have the definition.
        final_steps: Option<FinalSteps>,
    },
}

/// Why an instance refuses a command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InstanceError {
    /// Another coordinator or a person appended facts first.
    #[error("the saga is at version {actual}, not at {expected}")]
    MovedOn {
        /// The stream's version.
        actual: u64,
        /// The version that the command expected.
        expected: u64,
    },
    /// Only stuck instances can be resumed.
    #[error("a saga that is {} can't be resumed; allowed: stuck", .status.as_str())]
    NotStuck {
        /// The instance's status.
        status: Status,
    },
    /// Only instances that are running, or stuck before unwinding, can be cancelled.
    #[error("a saga that is {} can't be cancelled; allowed: running, and stuck before it unwinds", .status.as_str())]
    NotCancellable {
        /// The instance's status.
        status: Status,
    },
    /// Only the definition tells whether there is a way back.
    #[error(
        "this program does not have version {definition} of {saga}, which tells whether there is a way back: cancel the saga with a program \
         that has it"
    )]
    DefinitionMissing {
        /// The instance's status.
        status: Status,
        /// The saga's name.
        saga: String,
        /// The version of its definition.
        definition: u32,
    },
    /// The instance has begun its pivot or a later step, or has no other steps, so it has to be completed.
    #[error(
        "the saga has begun {step}, from which there is no way back: it can't be cancelled, but resumed where it is stuck"
    )]
    NoWayBack {
        /// The instance's status.
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
            InstanceError::NotCancellable { status } | InstanceError::DefinitionMissing { status, .. } => {
                Self::conflict("saga_not_cancellable", detail).with("state", status.as_str())
            }
            InstanceError::NoWayBack { status, step } => {
                Self::conflict("saga_not_cancellable", detail).with("state", status.as_str()).with("step", step)
            }
        }
    }
}

impl<N> Instance<N> {
    /// Refuses if the stream does not have the version that a coordinator knows.
    pub(crate) fn require(&self, expected: u64) -> Result<(), InstanceError> {
        let actual = self.state.version;
        if actual == expected { Ok(()) } else { Err(InstanceError::MovedOn { actual, expected }) }
    }
}

impl<N: Names> Aggregate for Instance<N> {
    const TYPE: &'static str = N::TYPE;
    const FORM: u32 = 2;
    type Command = InstanceCommand;
    type Event = InstanceEvent<N>;
    type Error = InstanceError;

    fn decide(&self, command: InstanceCommand) -> Result<Vec<Self::Event>, InstanceError> {
        let status = self.state.status;
        let facts: Vec<Fact> = match command {
            InstanceCommand::Start(started) => vec![started.into()],
            InstanceCommand::Advance { version, facts } => {
                self.require(version)?;
                facts
            }
            InstanceCommand::Resume if status == Status::Stuck => vec![Resumed {}.into()],
            InstanceCommand::Resume => return Err(InstanceError::NotStuck { status }),
            InstanceCommand::Cancel { reason, final_steps }
                if status == Status::Running || status == Status::Stuck && !self.state.unwinding =>
            {
                let Some(FinalSteps { names, are_all }) = final_steps else {
                    let (saga, definition) = (self.state.saga.clone(), self.state.definition);
                    return Err(InstanceError::DefinitionMissing { status, saga, definition });
                };
                if let Some(step) = names.into_iter().find(|step| are_all || self.state.has_begun(step)) {
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
