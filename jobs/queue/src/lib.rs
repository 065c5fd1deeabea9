//! Jobs: work of a tenant that is not done while somebody waits for the answer. Queued in the service's database, run at least
//! once, in turns by tenant, tried again, cancelled, watched.
//!
//! A [`Kind`] is what can be asked for: a name, a handler, limits, its queue. [`Jobs`] takes a [`NewJob`] ([`Jobs::submit`], or
//! [`enqueue`] within a transaction of the caller's own; [`Unique`]: the same again is the same job), many of them as a
//! [`NewBatch`], or a [`NewSchedule`] that asks again and again; it lists, shows, cancels, retries, pauses and limits. A [`Runner`] in
//! each process fires the schedules that are due, claims what is due, one job of the tenant that has waited longest for its turn, and
//! runs it with a [`Work`], under a lease that it renews with all others of its process: who loses it (killed, hung, cut off) loses the
//! job to the next one, and every write of a handler asks for the lease, so two never write as the same job. A handler goes on from its
//! last [`Step`].
//!
//! Nobody polls: runners sleep until something is due, a lease ends, or word comes (in process, and over the bus). To change the
//! tables, write forward-only statements into `tables.sql` that can be run again.

#![deny(missing_docs)]

pub mod backup;
mod batch;
mod claim;
mod enqueue;
mod firing;
mod input;
mod job;
mod jobs;
mod kind;
mod leases;
mod migrate;
mod once;
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
