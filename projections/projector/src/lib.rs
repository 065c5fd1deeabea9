//! The runtime of the read side: applies a service's events to its read models, with exactly-once effect.
//!
//! A [`Projection`] says which tables it has, which events it wants, and how a batch of events changes the tables. The [`Projector`]
//! takes the service's feed from the bus once, and gives each batch to every projection. Each applies it in one transaction, which also
//! moves its checkpoint by compare-and-set. A projection that is behind the feed reads the log until it has caught up. An event that
//! cannot be applied is parked with all later events of its aggregate, and all other events continue (`applying.rs`). Parked events are
//! retried with exponential backoff (`retrying.rs`).
//!
//! [`rebuild()`] builds a projection again beside the live one and swaps them; [`drift()`] builds it to compare the two row by row
//! (both use `build.rs`). Queries use [`ReadModels`], which reads as one tenant, on request at a position.
//!
//! To add a projection, implement [`Projection`] in the domain's crate under `projections/` and add it to that crate's list;
//! [`migrate()`] creates its tables. When you change its tables or the way it applies past events, raise its version: it then
//! does not run until it is rebuilt.

#![deny(missing_docs)]

mod applying;
mod assignment;
mod batches;
mod build;
mod checkpoint;
mod compare;
mod divide;
mod drift;
mod dry_run;
mod error;
mod feed;
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
mod refusal;
mod retrying;
mod settings;
mod status;
mod swap;
mod tables;
mod task;
mod tracing_context;
mod worker;
mod writing;

pub use divide::{Divided, divide};
pub use drift::{ColumnDifference, Difference, DifferenceKind, Drift, drift};
pub use dry_run::ProjectionDryRun;
pub use error::Error;
pub use eventstore::lists::distribute;
pub use migrate::{Migrated, migrate, plan};
pub use partition::{MAX_PARTITIONS, Partition};
pub use progress::Progress;
pub use projection::{ApplyError, BoxFuture, Projection};
pub use projector::Projector;
pub use read_models::{BeginError, CatchUpTimeout, ReadModels, Transaction};
pub use rebuild::{Rebuilding, Rebuilt, rebuild};
pub use refusal::{read_models_behind, read_models_unreadable};
pub use settings::Settings;
pub use status::{ProjectionState, ProjectionStatus};
