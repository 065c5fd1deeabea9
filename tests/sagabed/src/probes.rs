//! Probes that count points, make steps fail, or crash the coordinator.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use coordinator::{Fault, Point, Probe};
use futures::future::BoxFuture;
use tokio::sync::Notify;

/// Counts the points that a coordinator passes.
#[derive(Default)]
pub struct Counting {
    /// The points, in order.
    pub points: Mutex<Vec<Point>>,
    /// A fault to inject.
    pub failing: Option<Failing>,
}

impl Probe for Counting {
    fn at<'a>(&'a self, point: &'a Point) -> BoxFuture<'a, ()> {
        self.points.lock().unwrap().push(point.clone());
        Box::pin(std::future::ready(()))
    }

    fn fault(&self, point: &Point) -> Option<Fault> {
        self.failing.as_ref().and_then(|failing| failing.fault(point))
    }
}

/// Refuses at one point, every time.
#[derive(Clone, Debug)]
pub struct Failing(pub Point);

impl Probe for Failing {
    fn fault(&self, point: &Point) -> Option<Fault> {
        (*point == self.0).then(|| Fault::refused("test_refused", "a test wants this step to fail"))
    }
}

/// Fails once at one point with a transient error.
#[derive(Debug)]
pub struct FailingOnce {
    /// The point.
    pub at: Point,
    /// Whether it has failed already.
    pub failed: AtomicBool,
}

impl Probe for FailingOnce {
    fn fault(&self, point: &Point) -> Option<Fault> {
        let fails = *point == self.at && !self.failed.swap(true, Ordering::SeqCst);
        fails.then(|| Fault::transient("test_away", "a test wants this step to be tried again"))
    }
}

/// Stops for ever at the nth point, like a process that is killed there.
pub struct Crash {
    /// The number of the point, from 0.
    pub at: usize,
    /// Count only this point; none to count all.
    pub only: Option<Point>,
    /// A fault to inject.
    pub failing: Option<Failing>,
    passed: AtomicUsize,
    /// Notified when it has stopped.
    pub crashed: Notify,
    /// The point at which it stopped.
    pub place: Mutex<Option<Point>>,
}

impl Crash {
    /// Stops at the point with this number, counted from 0.
    pub fn at(at: usize, failing: Option<Failing>) -> Self {
        Self { at, only: None, failing, passed: AtomicUsize::new(0), crashed: Notify::new(), place: Mutex::default() }
    }

    /// Stops at this point after it was passed this number of times.
    pub fn after(times: usize, point: Point) -> Self {
        Self { only: Some(point), ..Self::at(times, None) }
    }
}

impl Probe for Crash {
    fn at<'a>(&'a self, point: &'a Point) -> BoxFuture<'a, ()> {
        let counts = self.only.as_ref().is_none_or(|only| only == point);
        if !counts && self.passed.load(Ordering::SeqCst) <= self.at {
            return Box::pin(std::future::ready(()));
        }
        let passed = self.passed.fetch_add(1, Ordering::SeqCst);
        if passed < self.at {
            return Box::pin(std::future::ready(()));
        }
        // From this point on the futures never complete, so all other tasks of the coordinator stop at their next point, too.
        if passed == self.at {
            *self.place.lock().unwrap() = Some(point.clone());
            self.crashed.notify_one();
        }
        Box::pin(std::future::pending())
    }

    fn fault(&self, point: &Point) -> Option<Fault> {
        self.failing.as_ref().and_then(|failing| failing.fault(point))
    }
}
