//! A retry budget: retries are limited to a share of all requests, so that they don't multiply the load on a failing service.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Retries that each request adds to the budget.
const SHARE: f64 = 0.2;
/// The initial budget, for services with little traffic. It is refilled with time.
const RESERVE: f64 = 100.0;
/// How many retries per second refill the reserve.
const PER_SECOND: f64 = 10.0;
/// The upper limit of the budget.
const MOST: f64 = 1_000.0;

/// The retry budget of one service: a token bucket.
#[derive(Debug)]
pub struct Budget(Mutex<Saved>);

#[derive(Clone, Copy, Debug)]
struct Saved {
    tokens: f64,
    /// When the reserve was last filled up.
    filled: Option<Instant>,
}

impl Default for Budget {
    fn default() -> Self {
        Self(Mutex::new(Saved { tokens: RESERVE, filled: None }))
    }
}

impl Budget {
    /// Adds the share of a request that is sent for the first time.
    pub fn earn(&self) {
        let mut saved = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        saved.tokens = (saved.tokens + SHARE).min(MOST);
    }

    /// Takes one retry from the budget. False: the budget is used up, and the request must not be repeated.
    pub fn spend(&self, now: Instant) -> bool {
        let mut saved = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = saved.filled.map_or(0.0, |filled| now.saturating_duration_since(filled).as_secs_f64());
        saved.filled = Some(now);
        if saved.tokens < RESERVE {
            saved.tokens = (saved.tokens + PER_SECOND * passed).min(RESERVE);
        }
        let enough = saved.tokens >= 1.0;
        if enough {
            saved.tokens -= 1.0;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn spend_all(budget: &Budget, now: Instant) -> usize {
        std::iter::repeat_with(|| budget.spend(now)).take_while(|spent| *spent).count()
    }

    #[test]
    fn repetitions_are_a_share_of_the_requests_beside_a_reserve_that_comes_back() {
        let (now, budget) = (Instant::now(), Budget::default());
        assert_eq!(spend_all(&budget, now), 100);
        for _ in 0..1_001 {
            budget.earn();
        }
        assert_eq!(spend_all(&budget, now), 200);
        assert_eq!(spend_all(&budget, now + Duration::from_secs(3)), 30);
        assert_eq!(spend_all(&budget, now + Duration::from_hours(1)), 100, "the reserve is no more than it was");
    }
}
