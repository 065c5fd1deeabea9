//! The job queue: background work of tenants, stored in the service's database. Jobs run at least once, fairly between tenants; they
//! are retried, and can be cancelled and watched.
//!
//! - A [`Kind`] is what can be requested: a name, a handler, limits, its queue.
//! - [`Jobs`] is for callers. It takes a [`NewJob`] ([`Jobs::submit`], or [`enqueue`] within a transaction of the caller;
//!   [`Unique`]: an equal request is the same job), many as a [`NewBatch`], or a [`NewSchedule`] that requests a job again and again. It
//!   lists, shows, cancels, retries, pauses and limits.
//! - A [`Runner`] in each process fires due schedules and claims due jobs, one job at a time of the tenant that has waited longest for
//!   its turn. It runs a job with a [`Work`]. Jobs and schedules of suspended tenants wait ([`Runner::pausing`]).
//!
//! A running job is held by a lease, which the process renews for all its jobs together. A process that loses a lease (killed, hung, cut
//! off) loses the job to another one, and every write of a handler checks the lease: so two processes never write as the same job.
//! A handler continues from its last [`Step`].
//!
//! There is no busy polling: runners sleep until something is due, a lease ends, or a message comes (in the process, and over the bus).
//! To change the tables, write forward-only statements into `tables.sql` that can be run again. See `docs/src/jobs.md`.

#![deny(missing_docs)]

mod acting;
pub mod backup;
mod batch;
mod claim;
mod enqueue;
mod firing;
mod forgetting;
mod idempotency;
mod input;
mod job;
mod job_names;
mod jobs;
mod kind;
mod leases;
mod migrate;
mod queues;
mod row;
mod runner;
mod running;
mod schedule;
mod settings;
mod settle;
mod state;
mod sweep;
mod timetable;
mod unique;
mod wakes;
mod work;

pub use batch::{Batch, NewBatch, Wanted};
pub use enqueue::{Enqueued, NewJob, enqueue};
pub use job::{Job, Line};
pub use job_names::{JobNames, UnknownName};
pub use jobs::{Jobs, Listing, Request, Sources, Submitted};
pub use kind::{Arguments, Fault, Kind, Kinds, Offered};
pub use migrate::migrate;
pub use queues::{Limits, MOST_TOGETHER, Queue, Rate};
pub use runner::Runner;
pub use schedule::{Changes, NewSchedule, Schedule};
pub use settings::Settings;
pub use state::State;
pub use timetable::Timetable;
pub use unique::Unique;
pub use work::{Step, Work};
