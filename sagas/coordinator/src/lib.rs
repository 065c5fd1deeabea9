//! The runtime of sagas: work of several steps that is carried through, or taken back, whatever fails meanwhile.
//!
//! A saga is one file in a domain's crate under `sagas/`: a [`Definition`] with its parameters, what starts it, and its
//! [`Step`]s, each with its undo, retry policy and time limit. The [`Coordinator`] of a service runs them:
//!
//! - **State** is events of an aggregate of its own (`crm.saga`, [`facts`]), in the service's log, written by the executor like
//!   all others. The table `saga.instances` is a copy of it that answers "what is due" and "what is there": each row is what the
//!   stream's first `version` events make, so whoever writes it, in whatever order, the highest version wins.
//! - **A step** goes: state (`step_begun`), then its commands under ids derived from saga, step and turn, then the outcome. Killed
//!   in between, the next coordinator finds `step_begun` and runs the step again; the executor answers the same ids with the
//!   first answers, so nothing is done twice. Every state append names the version that it rests on: of two coordinators that
//!   both believe to be the active one, only one gets on.
//! - **The feed** is followed with a checkpoint ([`follower`]): an event that starts a saga makes an instance whose id is derived
//!   from the saga's name and the event, so delivered twice it starts once; an event that a waiting saga has to hear of wakes
//!   it, and the step looks again at what is true now. Rows and checkpoint are moved in one transaction. What of a tenant on its way
//!   to another cell is [passed over](passed_over) is looked at where it is let in.
//! - **Timers** are the column `wake_at`. The driver ([`driver`]) takes what is due, sleeps until exactly the next one, and is
//!   woken when an earlier one is written. After a restart the overdue ones are simply due.
//! - **Fairness** (`turns.rs`): what many aggregates' events begin is begun at the same time, tenant by tenant in turns; of what is due a
//!   tenant has no more than a quarter of the places while others wait.
//! - **Unwinding** goes through what was done in reverse, the step that was under way included, because nobody knows how far
//!   it came: an undo must bear that there is nothing to undo. What can't be undone parks the saga as `stuck`, until a person
//!   resumes it. An instance finishes on the version of the definition with which it began.
//!
//! - **Dead letters** (`letters.rs`): an event of which a saga can't say whether it starts it is parked with the later ones of its
//!   aggregate, and asked about again; the others go on.
//!
//! To add a saga, see `docs/src/sagas.md`; nothing here changes.

#![deny(missing_docs)]

pub mod backup;
mod coordinator;
mod definition;
mod doing;
pub mod driver;
mod error;
pub mod facts;
mod findings;
pub mod follower;
mod instance;
mod instances;
mod known;
mod letters;
mod meters;
mod migrate;
mod names;
pub mod passed_over;
mod plan;
mod probe;
mod recall;
mod rehearsal;
mod repository;
mod rested;
mod rows;
mod sagas;
mod settings;
mod state;
mod status;
mod turns;

pub use coordinator::Coordinator;
pub use definition::{Definition, Limits, Occasion, Retry, Start, Step, steps};
pub use doing::{Doing, Fault, Next};
pub use error::Error;
pub use instance::{Instance, InstanceCommand, InstanceError};
pub use instances::{Instances, Listed, Listing};
pub use migrate::migrate;
pub use names::Names;
pub use probe::{NoProbe, Point, Probe};
pub use recall::recall;
pub use rehearsal::Rehearsal;
pub use repository::Repository;
pub use sagas::Sagas;
pub use settings::Settings;
pub use state::{Current, DoneStep, Phase, State, Status};
pub use status::{CoordinatorState, CoordinatorStatus};

/// What the macro expands to; not for use by hand.
#[doc(hidden)]
pub mod reexport {
    pub use kernel::Service;
}
