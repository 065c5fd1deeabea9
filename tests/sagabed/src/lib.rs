//! Runs any saga through everything that can go wrong.
//!
//! A test implements [`Story`] for a saga: how the start event is produced, and what must hold when the saga is completed and when it is
//! compensated. Then each of these cases is one line of a test:
//!
//! - [`completes`]: it completes, with the clock moved from timer to timer;
//! - [`unwinds_from_each_step`]: each step fails, before and after its effect; everything is compensated;
//! - [`survives_each_crash`]: the coordinator crashes at each point between two writes, and another one continues: forward, and while
//!   compensating;
//! - [`bears_repetition`]: all events are delivered again, during the saga and after its end; nothing happens twice;
//! - [`catches_up_with_timers`]: each timer becomes due while no coordinator is running;
//! - [`catches_up_with_attempts`]: for each step, the time of its retry comes while no coordinator is running.
//!
//! Each case has its own tenant, in one database. The clock is moved to the next timer, so days take no time, and nothing sleeps.
//!
//! [`Users`] are those whom an executor looks up, for the tests of commands, too.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bed;
mod cases;
mod probes;
mod users;

pub use bed::{Bed, Case, Running};
pub use cases::{
    bears_repetition, catches_up_with_attempts, catches_up_with_timers, completes, survives_each_crash,
    unwinds_from_each_step,
};
pub use testbed::tenant;

pub use probes::{Counting, Crash, Failing, FailingOnce};
pub use users::Users;

use coordinator::Sagas;
use futures::future::BoxFuture;

/// A saga under test.
pub trait Story: Send + Sync + 'static {
    /// The service's sagas, including the one under test.
    fn sagas(&self) -> Sagas;

    /// The name of the saga under test.
    fn saga(&self) -> &'static str;

    /// Appends the events before the saga. The last one starts it once.
    fn begin<'a>(&'a self, case: &'a Case<'a>) -> BoxFuture<'a, ()>;

    /// Asserts that all effects are there, once.
    fn done<'a>(&'a self, case: &'a Case<'a>) -> BoxFuture<'a, ()>;

    /// Asserts that no effects are left after compensation, whichever step failed.
    fn undone<'a>(&'a self, case: &'a Case<'a>) -> BoxFuture<'a, ()>;
}
