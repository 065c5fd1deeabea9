//! Hooks for tests: observe the coordinator, inject faults, or stop it as a crash would.

use futures::future::BoxFuture;

use crate::Fault;

/// A point between two writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Point {
    /// Before an instance's first fact is appended.
    BeforeStart,
    /// After it is appended, and before the row and the checkpoint are written.
    AfterStart,
    /// Before facts are appended.
    BeforeAdvance,
    /// After facts are appended.
    AfterAdvance,
    /// Before a step or its undo runs; `step_begun` is appended.
    BeforeStep {
        /// The step's name.
        step: String,
        /// Whether it is the undo.
        undo: bool,
    },
    /// After it ran, and before its outcome is appended.
    AfterStep {
        /// The step's name.
        step: String,
        /// Whether it is the undo.
        undo: bool,
    },
    /// Before an instance's row is written.
    BeforeRow,
    /// After it is written.
    AfterRow,
    /// Before a batch's rows and the checkpoint are committed.
    BeforeCheckpoint,
    /// After they are committed.
    AfterCheckpoint,
}

/// A test's hooks. The defaults do nothing.
pub trait Probe: Send + Sync + 'static {
    /// Called at each point. A test simulates a crash by never completing this future, and then dropping the whole coordinator.
    fn at<'a>(&'a self, point: &'a Point) -> BoxFuture<'a, ()> {
        let _ = point;
        Box::pin(std::future::ready(()))
    }

    /// A fault that the step at this point fails with.
    fn fault(&self, point: &Point) -> Option<Fault> {
        let _ = point;
        None
    }
}

/// The hooks outside of tests: they do nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoProbe;

impl Probe for NoProbe {}
