//! Backoff for instances whose state could not be read or written.
//!
//! Such instances stay due, and those that are overdue longest come first. Without a backoff, a few of them would occupy every slot of the
//! driver, and no other saga would continue.

use std::collections::HashMap;
use std::time::Duration;

use kernel::Backoff;
use tokio::time::Instant;

use crate::rows::InstanceKey;

/// The backoffs. They live in this process only; a coordinator that takes over starts without any.
pub(crate) struct Backoffs {
    backoff: Backoff,
    known: HashMap<InstanceKey, Pause>,
}

struct Pause {
    failures: u32,
    until: Instant,
}

impl Backoffs {
    /// None yet; each will have these pauses.
    pub(crate) fn new(backoff: Backoff) -> Self {
        Self { backoff, known: HashMap::new() }
    }

    /// Executing it failed once more: starts or extends its backoff. Instances that did not come again for the longest pause after theirs
    /// are forgotten: most probably their tenants were destroyed or have moved. One that only waited for its turn starts from the first
    /// pause.
    pub(crate) fn failed(&mut self, key: InstanceKey, now: Instant) {
        self.known.retain(|known, pause| *known == key || pause.until + self.backoff.longest > now);
        let pause = self.known.entry(key).or_insert(Pause { failures: 0, until: now });
        pause.failures += 1;
        pause.until = now + self.backoff.pause(pause.failures);
    }

    /// Executing it succeeded: ends its backoff.
    pub(crate) fn succeeded(&mut self, key: &InstanceKey) {
        self.known.remove(key);
    }

    /// Whether it is in backoff now.
    pub(crate) fn is_waiting(&self, key: &InstanceKey, now: Instant) -> bool {
        self.known.get(key).is_some_and(|pause| pause.until > now)
    }

    /// How many are in backoff now.
    pub(crate) fn count(&self, now: Instant) -> usize {
        self.known.values().filter(|pause| pause.until > now).count()
    }

    /// The time until the first backoff ends.
    pub(crate) fn next(&self, now: Instant) -> Option<Duration> {
        self.known.values().filter(|pause| pause.until > now).map(|pause| pause.until - now).min()
    }
}

#[cfg(test)]
mod tests {
    use kernel::TenantId;
    use uuid::Uuid;

    use super::*;

    const BACKOFF: Backoff = Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(10) };

    #[expect(clippy::disallowed_methods, reason = "a test's tenant")]
    fn key(number: u128) -> InstanceKey {
        InstanceKey { tenant: TenantId::vouched(Uuid::from_u128(1)), id: Uuid::from_u128(number) }
    }

    #[tokio::test]
    async fn whoever_fails_again_rests_longer_and_one_success_ends_it() {
        let now = Instant::now();
        let mut backoffs = Backoffs::new(BACKOFF);
        let mut pauses = Vec::new();
        for _ in 0..6 {
            backoffs.failed(key(1), now);
            pauses.push(backoffs.next(now).unwrap().as_secs());
        }
        assert_eq!(pauses, [1, 2, 4, 8, 10, 10]);
        backoffs.succeeded(&key(1));
        assert!(!backoffs.is_waiting(&key(1), now));
        assert_eq!(backoffs.next(now), None);
    }

    #[tokio::test]
    async fn the_pause_of_one_is_not_anothers() {
        let now = Instant::now();
        let mut backoffs = Backoffs::new(BACKOFF);
        backoffs.failed(key(1), now);
        backoffs.failed(key(2), now);
        backoffs.failed(key(2), now);
        assert!(
            backoffs.is_waiting(&key(1), now)
                && backoffs.is_waiting(&key(2), now)
                && !backoffs.is_waiting(&key(3), now)
        );
        let later = now + Duration::from_millis(1_500);
        assert!(!backoffs.is_waiting(&key(1), later) && backoffs.is_waiting(&key(2), later));
        assert_eq!((backoffs.count(now), backoffs.count(later)), (2, 1));
    }

    #[tokio::test]
    async fn whoever_does_not_come_again_is_forgotten() {
        let now = Instant::now();
        let mut backoffs = Backoffs::new(BACKOFF);
        backoffs.failed(key(1), now);
        backoffs.failed(key(2), now);
        // Its pause was one second; it is remembered for ten more.
        backoffs.failed(key(2), now + Duration::from_secs(10));
        assert_eq!(backoffs.known.len(), 2);
        backoffs.failed(key(2), now + Duration::from_secs(11));
        assert_eq!(backoffs.known.keys().collect::<Vec<_>>(), [&key(2)]);
        backoffs.failed(key(2), now + Duration::from_mins(1));
        let pause = backoffs.next(now + Duration::from_mins(1)).unwrap();
        assert_eq!(pause.as_secs(), 8, "it comes, however late, and its pauses grow");
    }
}
