//! Backoff for instances whose state could not be read or written.
//!
//! Such instances stay due, and those that are overdue longest come first. Without a backoff, a few of them would occupy every slot of the
//! driver, and no other saga would continue.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::rows::InstanceKey;

/// The backoffs. They live in this process only; a coordinator that takes over starts without any.
pub(crate) struct Rested {
    first: Duration,
    longest: Duration,
    known: HashMap<InstanceKey, Rest>,
}

struct Rest {
    failures: u32,
    until: Instant,
}

impl Rested {
    /// Pauses that double from the first to the longest.
    pub(crate) fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, known: HashMap::new() }
    }

    /// Executing it failed once more: starts or extends its backoff.
    pub(crate) fn failed(&mut self, key: InstanceKey, now: Instant) {
        let rest = self.known.entry(key).or_insert(Rest { failures: 0, until: now });
        rest.until = now + self.first.saturating_mul(2_u32.saturating_pow(rest.failures.min(30))).min(self.longest);
        rest.failures += 1;
    }

    /// Executing it succeeded: ends its backoff.
    pub(crate) fn went_well(&mut self, key: &InstanceKey) {
        self.known.remove(key);
    }

    /// Whether it is in backoff now.
    pub(crate) fn rests(&self, key: &InstanceKey, now: Instant) -> bool {
        self.known.get(key).is_some_and(|rest| rest.until > now)
    }

    /// How many are in backoff now.
    pub(crate) fn count(&self, now: Instant) -> usize {
        self.known.values().filter(|rest| rest.until > now).count()
    }

    /// The time until the first backoff ends.
    pub(crate) fn next(&self, now: Instant) -> Option<Duration> {
        self.known.values().filter(|rest| rest.until > now).map(|rest| rest.until - now).min()
    }
}

#[cfg(test)]
mod tests {
    use kernel::TenantId;
    use uuid::Uuid;

    use super::*;

    #[expect(clippy::disallowed_methods, reason = "a test's tenant")]
    fn key(number: u128) -> InstanceKey {
        InstanceKey { tenant: TenantId::vouched(Uuid::from_u128(1)), id: Uuid::from_u128(number) }
    }

    #[tokio::test]
    async fn whoever_fails_again_rests_longer_and_one_success_ends_it() {
        let now = Instant::now();
        let mut rested = Rested::new(Duration::from_secs(1), Duration::from_secs(10));
        let mut pauses = Vec::new();
        for _ in 0..6 {
            rested.failed(key(1), now);
            pauses.push(rested.next(now).unwrap().as_secs());
        }
        assert_eq!(pauses, [1, 2, 4, 8, 10, 10]);
        rested.went_well(&key(1));
        assert!(!rested.rests(&key(1), now));
        assert_eq!(rested.next(now), None);
    }

    #[tokio::test]
    async fn the_pause_of_one_is_not_anothers() {
        let now = Instant::now();
        let mut rested = Rested::new(Duration::from_secs(1), Duration::from_secs(10));
        rested.failed(key(1), now);
        rested.failed(key(2), now);
        rested.failed(key(2), now);
        assert!(rested.rests(&key(1), now) && rested.rests(&key(2), now) && !rested.rests(&key(3), now));
        let later = now + Duration::from_millis(1_500);
        assert!(!rested.rests(&key(1), later) && rested.rests(&key(2), later));
        assert_eq!((rested.count(now), rested.count(later)), (2, 1));
    }
}
