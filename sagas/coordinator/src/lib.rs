//! The runtime of sagas: work of several steps that is either completed or undone, whatever fails in between.
//!
//! A saga is one file in a domain's crate under `sagas/`: a [`Definition`] with its parameters, the events that start it, and its
//! [`Step`]s, each with its undo, retry policy and time limit. The [`Coordinator`] of a service runs them:
//!
//! - **State** is events of an aggregate of its own (`crm.saga`, [`facts`]), in the service's log, written by the executor like
//!   all others. The table `saga.instances` is a copy for the questions "what is due" and "which instances exist". Each row is the
//!   result of the stream's first `version` events, so the row with the highest version wins, in whatever order rows are written.
//! - **A step** goes in this order: state (`step_begun`), then its commands, with ids derived from saga, step and turn, then the
//!   outcome. If the process is killed in between, the next coordinator finds `step_begun` and runs the step again; the executor
//!   answers the same ids with the first answers, so nothing is done twice. Every append of state requires the version on which it is
//!   based, and every append of a step's command the version with which the step began (`fenced.rs`): if two coordinators both believe to
//!   be active, only one makes progress, and one that hung meanwhile changes nothing when it wakes.
//! - **The feed** is followed with a checkpoint ([`follower`]). An event that starts a saga creates an instance whose id is derived
//!   from the saga's name and the event, so an event that is delivered twice starts it once. An event that concerns a waiting saga
//!   wakes it, and the step checks its condition again. Rows and checkpoint change in one transaction. Events of a tenant that is
//!   being moved to another cell are [skipped], and processed where the tenant is opened.
//! - **Timers** are the column `wake_at`. The driver ([`driver`]) takes what is due, sleeps until exactly the next timer, and is
//!   woken when an earlier one is written. After a restart, overdue timers are simply due.
//! - **Fairness** (`fairness.rs`): sagas that events of many aggregates start are started together, taking tenants in turns. While others
//!   wait, one tenant gets at most a quarter of the slots.
//! - **Unwinding** undoes the completed steps in reverse order, and also the interrupted step, whose progress is unknown: so an undo
//!   must work when there is nothing to undo. If an undo fails, the saga is `stuck` until a person resumes it. An instance finishes on
//!   the version of the definition with which it began.
//! - **Dead letters** (`letters.rs`): if a saga cannot decide whether an event starts it, the event is parked with the later ones of
//!   its aggregate, and examined again later; other events continue.
//!
//! To add a saga, see `docs/src/sagas.md`; nothing here changes.

#![deny(missing_docs)]

mod backoffs;
pub mod backup;
mod cache;
mod coordinator;
mod definition;
pub mod driver;
mod dry_run;
mod effects;
mod error;
pub mod facts;
mod fairness;
mod fenced;
pub mod follower;
mod gauges;
mod instance;
mod instances;
mod letters;
mod migrate;
mod names;
mod plan;
mod probe;
mod rebuild;
mod repository;
mod rows;
mod sagas;
mod settings;
pub mod skipped;
mod state;
mod status;
mod step_context;

pub use coordinator::Coordinator;
pub use definition::{Definition, FinalSteps, Limits, Retry, Start, StartContext, Step, steps};
pub use dry_run::SagaDryRun;
pub use error::Error;
pub use instance::{Instance, InstanceCommand, InstanceError};
pub use instances::{Instances, Listed, Listing};
pub use migrate::migrate;
pub use names::Names;
pub use probe::{NoProbe, Point, Probe};
pub use rebuild::rebuild_instances;
pub use repository::Repository;
pub use sagas::Sagas;
pub use settings::Settings;
pub use state::{Current, DoneStep, Phase, State, Status};
pub use status::{CoordinatorState, CoordinatorStatus};
pub use step_context::{Fault, Next, StepContext};

/// What the macro expands to; not for use by hand.
#[doc(hidden)]
pub mod reexport {
    pub use kernel::Service;
}
