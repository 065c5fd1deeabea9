//! Runs any saga through what can go wrong.
//!
//! A test implements [`Story`] for a saga: what makes the world that starts it, and how the world looks when the saga is
//! completed and when it is taken back. Then each of these is one line of test:
//!
//! - [`completes`]: it comes to its end, time passing from timer to timer;
//! - [`unwinds_from_each_step`]: each step fails, once before it did anything and once after all; everything is taken back;
//! - [`survives_each_crash`]: the coordinator ends at each place between two writes, and another one goes on: forward, and on
//!   the way back;
//! - [`bears_repetition`]: every event is delivered again, after the end and in the middle; nothing happens twice;
//! - [`catches_up_with_timers`]: each timer falls due while no coordinator runs;
//! - [`catches_up_with_attempts`]: so does the time at which a step that failed is tried again, for each step.
//!
//! Each case has a tenant of its own, in one database. The clock stands still and is moved to the next timer, so days take no
//! time; nothing sleeps.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bed;
mod cases;
mod probes;

pub use bed::{Bed, Case, Running};
pub use cases::{
    bears_repetition, catches_up_with_attempts, catches_up_with_timers, completes, survives_each_crash,
    unwinds_from_each_step,
};
pub use testbed::tenant;

pub use probes::{Counting, Crash, Failing, Stumbling};

use coordinator::Sagas;
use futures::future::BoxFuture;

/// A saga under test.
pub trait Story: Send + Sync + 'static {
    /// The service's sagas, the one under test among them.
    fn sagas(&self) -> Sagas;

    /// The name of the saga under test.
    fn saga(&self) -> &'static str;

    /// Makes a world, the last event of which starts the saga once.
    fn begin<'a>(&'a self, case: &'a Case<'a>) -> BoxFuture<'a, ()>;

    /// Asserts that all is done, once.
    fn done<'a>(&'a self, case: &'a Case<'a>) -> BoxFuture<'a, ()>;

    /// Asserts that nothing is left of what it did, at whichever step it failed.
    fn undone<'a>(&'a self, case: &'a Case<'a>) -> BoxFuture<'a, ()>;
}
