//! A circuit breaker: after several consecutive failures an instance gets no requests for a while, then one trial request.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use kernel::Backoff;

/// The number of consecutive failures that open the breaker.
const FAILURES: u32 = 5;
/// How long the breaker stays open: at first, and at the longest after failed trials.
const REST: Backoff = Backoff { first: Duration::from_millis(500), longest: Duration::from_secs(8) };

/// The circuit breaker of one instance.
#[derive(Debug, Default)]
pub struct Breaker(Mutex<State>);

#[derive(Clone, Copy, Debug)]
enum State {
    /// Requests pass; `failures` counts the consecutive failures.
    Closed { failures: u32 },
    /// No request passes before `until`; `rest` is the length of this open period.
    Open { until: Instant, rest: Duration },
    /// One trial request was sent at `since`; its result closes or reopens the breaker.
    HalfOpen { since: Instant, rest: Duration },
}

impl Default for State {
    fn default() -> Self {
        Self::Closed { failures: 0 }
    }
}

impl Breaker {
    /// Whether a request may be sent now. A half-open breaker lets one trial request pass, and another one if that has had no result for
    /// as long as the breaker was open.
    pub fn admit(&self, now: Instant) -> bool {
        self.change(|state| match *state {
            State::Closed { .. } => true,
            State::Open { until: at, rest } | State::HalfOpen { since: at, rest } => {
                let due = if matches!(state, State::Open { .. }) { at } else { at + rest };
                let trial = now >= due;
                if trial {
                    *state = State::HalfOpen { since: now, rest };
                }
                trial
            }
        })
    }

    /// Records a success: closes the breaker.
    pub fn succeeded(&self) {
        self.change(|state| *state = State::default());
    }

    /// Records a failure: opens the breaker at the limit, and after a failed trial.
    pub fn failed(&self, now: Instant) {
        self.change(|state| {
            *state = match *state {
                State::Closed { failures } if failures + 1 < FAILURES => State::Closed { failures: failures + 1 },
                State::Closed { .. } => State::Open { until: now + REST.first, rest: REST.first },
                State::HalfOpen { rest, .. } => {
                    let rest = REST.after(rest);
                    State::Open { until: now + rest, rest }
                }
                open @ State::Open { .. } => open,
            };
        });
    }

    /// The state as text, and as a number for metrics (closed 0, half-open 1, open 2).
    pub fn state(&self) -> (&'static str, f64) {
        self.change(|state| match state {
            State::Closed { .. } => ("closed", 0.0),
            State::HalfOpen { .. } => ("half-open", 1.0),
            State::Open { .. } => ("open", 2.0),
        })
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(now: Instant) -> Breaker {
        let breaker = Breaker::default();
        for _ in 0..FAILURES {
            assert!(breaker.admit(now));
            breaker.failed(now);
        }
        breaker
    }

    #[test]
    fn several_failures_in_a_row_open_it_and_a_success_between_them_does_not() {
        let (now, breaker) = (Instant::now(), Breaker::default());
        for _ in 0..3 {
            for _ in 1..FAILURES {
                breaker.failed(now);
            }
            breaker.succeeded();
        }
        assert!(breaker.admit(now));
        assert!(!open(now).admit(now));
        assert_eq!(open(now).state().0, "open");
    }

    #[test]
    fn after_a_rest_one_request_is_let_through_and_decides() {
        let now = Instant::now();
        let breaker = open(now);
        assert!(!breaker.admit(now + REST.first / 2));
        let later = now + REST.first;
        assert!(breaker.admit(later));
        assert!(!breaker.admit(later), "a second trial");
        assert_eq!(breaker.state().0, "half-open");
        breaker.failed(later);
        assert!(!breaker.admit(later + REST.first), "it rests twice as long");
        assert!(breaker.admit(later + 2 * REST.first));
        breaker.succeeded();
        assert!(breaker.admit(later + 2 * REST.first) && breaker.admit(later + 2 * REST.first));
    }

    #[test]
    fn a_trial_that_nobody_hears_of_is_followed_by_another() {
        let now = Instant::now();
        let breaker = open(now);
        assert!(breaker.admit(now + REST.first));
        assert!(breaker.admit(now + 2 * REST.first));
    }
}
