//! The read-side runtime: applies a service's events to its read models, exactly once in effect.
//!
//! A [`Projection`] says which tables it has, which events it wants, and what a batch of them changes. The [`Projector`] takes
//! the service's feed from the bus once and hands each batch to every projection; each applies it in one transaction that also
//! moves its checkpoint by compare-and-set. A projection that is behind what the feed gives reads the log until it meets the
//! feed. An event that can't be applied is parked with all later events of its aggregate, and the rest flows on
//! (`applying.rs`); it is tried again by itself, later and later (`retrying.rs`). [`rebuild()`] builds a projection anew beside
//! the live one and swaps; [`drift()`] builds it to compare the two row by row (`build.rs` is what both share). [`ReadModels`]
//! is how queries read, as one tenant, and wait for a position.
//!
//! To add a projection, implement [`Projection`] in the domain's crate under `projections/` and add it to that crate's list;
//! [`migrate()`] makes its tables. To change a projection's tables or what it does with past events, raise its version: it then
//! stands still until it is rebuilt.

#![deny(missing_docs)]

mod applying;
mod assignment;
mod build;
mod checkpoint;
mod compare;
mod divide;
mod drift;
mod error;
mod fan;
mod following;
mod held_partitions;
mod migrate;
mod parking;
mod partition;
mod partition_workers;
mod progress;
mod projection;
mod projector;
mod read_models;
mod rebuild;
mod rehearsal;
mod retrying;
mod settings;
mod status;
mod swap;
mod tables;
mod tracing_context;
mod worker;
mod writing;

pub use divide::{Divided, divide};
pub use drift::{ColumnDifference, Difference, DifferenceKind, Drift, drift};
pub use error::Error;
pub use eventstore::lists::dealt;
pub use migrate::{Migrated, migrate, plan};
pub use partition::{MAX_PARTITIONS, Partition};
pub use progress::Progress;
pub use projection::{ApplyError, BoxFuture, Projection};
pub use projector::Projector;
pub use read_models::{Behind, ReadModels, Transaction};
pub use rebuild::{Rebuilding, Rebuilt, rebuild};
pub use rehearsal::Rehearsal;
pub use settings::Settings;
pub use status::{ProjectionState, ProjectionStatus};
