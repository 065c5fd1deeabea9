//! Who looks on, lets steps fail, or ends the coordinator.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use coordinator::{Fault, Point, Probe};
use futures::future::BoxFuture;
use tokio::sync::Notify;

/// Counts the places that a coordinator passes.
#[derive(Default)]
pub struct Counting {
    /// Them, in their order.
    pub points: Mutex<Vec<Point>>,
    /// A fault on the way.
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

/// Refuses at one place, again and again.
#[derive(Clone, Debug)]
pub struct Failing(pub Point);

impl Probe for Failing {
    fn fault(&self, point: &Point) -> Option<Fault> {
        (*point == self.0).then(|| Fault::refused("test_refused", "a test wants this step to fail"))
    }
}

/// Fails once at one place, for a reason that passes.
#[derive(Debug)]
pub struct Stumbling {
    /// Where.
    pub at: Point,
    /// Whether it has.
    pub stumbled: AtomicBool,
}

impl Probe for Stumbling {
    fn fault(&self, point: &Point) -> Option<Fault> {
        let stumbles = *point == self.at && !self.stumbled.swap(true, Ordering::SeqCst);
        stumbles.then(|| Fault::passing("test_away", "a test wants this step to be tried again"))
    }
}

/// Stops at the nth place for ever, as a process that is killed there.
pub struct Crash {
    /// Which place, from 0.
    pub at: usize,
    /// Only these places count; none: all do.
    pub only: Option<Point>,
    /// A fault on the way.
    pub failing: Option<Failing>,
    passed: AtomicUsize,
    /// Notified when it stopped.
    pub crashed: Notify,
    /// Where it stopped.
    pub place: Mutex<Option<Point>>,
}

impl Crash {
    /// Stops at this place.
    pub fn at(at: usize, failing: Option<Failing>) -> Self {
        Self { at, only: None, failing, passed: AtomicUsize::new(0), crashed: Notify::new(), place: Mutex::default() }
    }

    /// Stops when it passes this place again after so many times.
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
        // All else that runs in this process stops too, wherever it is.
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
