//! A circuit breaker: whoever failed several times in a row is left alone for a while, then tried with one request.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// So many failures in a row open it.
const FAILURES: u32 = 5;
/// How long it is open at first; twice as long after each trial that fails.
const REST: Duration = Duration::from_millis(500);
/// The longest that it is open.
const LONGEST: Duration = Duration::from_secs(8);

/// Counts one instance's failures.
#[derive(Debug, Default)]
pub struct Breaker(Mutex<State>);

#[derive(Clone, Copy, Debug)]
enum State {
    /// Requests pass.
    Closed { failures: u32 },
    /// None does, until then.
    Open { until: Instant, rest: Duration },
    /// One is on its way; how it fares decides.
    HalfOpen { since: Instant, rest: Duration },
}

impl Default for State {
    fn default() -> Self {
        Self::Closed { failures: 0 }
    }
}

impl Breaker {
    /// Whether a request may go now. A half-open one lets one pass; another when that one has not been heard of for as long as the
    /// breaker was open.
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

    /// A request was answered.
    pub fn succeeded(&self) {
        self.change(|state| *state = State::default());
    }

    /// A request was not.
    pub fn failed(&self, now: Instant) {
        self.change(|state| {
            *state = match *state {
                State::Closed { failures } if failures + 1 < FAILURES => State::Closed { failures: failures + 1 },
                State::Closed { .. } => State::Open { until: now + REST, rest: REST },
                State::HalfOpen { rest, .. } => {
                    let rest = (rest * 2).min(LONGEST);
                    State::Open { until: now + rest, rest }
                }
                open @ State::Open { .. } => open,
            };
        });
    }

    /// Its state in a word, and as a number for metrics.
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
        assert!(!breaker.admit(now + REST / 2));
        let later = now + REST;
        assert!(breaker.admit(later));
        assert!(!breaker.admit(later), "a second trial");
        assert_eq!(breaker.state().0, "half-open");
        breaker.failed(later);
        assert!(!breaker.admit(later + REST), "it rests twice as long");
        assert!(breaker.admit(later + 2 * REST));
        breaker.succeeded();
        assert!(breaker.admit(later + 2 * REST) && breaker.admit(later + 2 * REST));
    }

    #[test]
    fn a_trial_that_nobody_hears_of_is_followed_by_another() {
        let now = Instant::now();
        let breaker = open(now);
        assert!(breaker.admit(now + REST));
        assert!(breaker.admit(now + 2 * REST));
    }
}
