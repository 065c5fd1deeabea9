//! Where a test may look on, let something fail, or end the coordinator as a crash would.

use futures::future::BoxFuture;

use crate::Fault;

/// A place between two writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Point {
    /// Before an instance's first fact is appended.
    BeforeStart,
    /// After it, before its row and the checkpoint are written.
    AfterStart,
    /// Before facts are appended.
    BeforeAdvance,
    /// After facts are appended.
    AfterAdvance,
    /// Before a step, or its undo, runs: its beginning is on record.
    BeforeStep {
        /// Its name.
        step: String,
        /// Whether it is the undo.
        undo: bool,
    },
    /// After it ran; its outcome is on record nowhere.
    AfterStep {
        /// Its name.
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
    /// After it.
    AfterCheckpoint,
}

/// Looks on. The default does nothing.
pub trait Probe: Send + Sync + 'static {
    /// The coordinator is here. A crash is a future that never ends, and then an end of the whole coordinator.
    fn at<'a>(&'a self, point: &'a Point) -> BoxFuture<'a, ()> {
        let _ = point;
        Box::pin(std::future::ready(()))
    }

    /// A fault that a step has to meet here instead of going on.
    fn fault(&self, point: &Point) -> Option<Fault> {
        let _ = point;
        None
    }
}

/// Nobody looks on.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoProbe;

impl Probe for NoProbe {}
