//! What was touched since when: what is remembered of tokens holds only as long as nothing on which it rests is among it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use uuid::Uuid;

/// How long what was checked may be remembered: then it is checked anew, whatever was heard. What was touched is kept a little
/// longer than that. Both by the clock that nobody sets: else what is forgotten while a clock is ahead could hold again when it is set back.
pub const REMEMBERED: Duration = Duration::from_mins(10);

/// Grants, machines, keys that changed. One for a process.
#[derive(Debug)]
pub struct Touched {
    /// What was checked before so many changes holds no more: nobody was listening yet.
    listening_since: AtomicU64,
    /// How many there were: who checks something notes it first, and asks [`since`](Self::since) with it later.
    count: AtomicU64,
    ids: RwLock<HashMap<Uuid, (u64, Instant)>>,
    told: watch::Sender<()>,
}

impl Default for Touched {
    fn default() -> Self {
        // Nothing holds before somebody listens.
        Self {
            listening_since: AtomicU64::new(u64::MAX),
            count: AtomicU64::new(0),
            ids: RwLock::default(),
            told: watch::Sender::default(),
        }
    }
}

impl Touched {
    /// From now on changes are heard of. What was checked before may have changed unheard, and is checked anew.
    pub fn listen(&self) {
        let ids = self.ids.write().unwrap_or_else(PoisonError::into_inner);
        let count = self.count.load(Ordering::Acquire) + 1;
        self.count.store(count, Ordering::Release);
        self.listening_since.store(count, Ordering::Release);
        drop(ids);
        self.told.send_replace(());
    }

    /// How many changes there were. To be noted before a check: what changes during it counts as later.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Acquire)
    }

    /// Notes that something changed.
    pub fn touch(&self, id: Uuid, now: Instant) {
        let mut ids = self.ids.write().unwrap_or_else(PoisonError::into_inner);
        let count = self.count.load(Ordering::Acquire) + 1;
        ids.insert(id, (count, now));
        // After it: who sees the count finds the id.
        self.count.store(count, Ordering::Release);
        drop(ids);
        self.told.send_replace(());
    }

    /// Changes whenever something is touched: for who keeps a connection open.
    pub fn subscribe(&self) -> watch::Receiver<()> {
        self.told.subscribe()
    }

    /// Whether one of these changed after `count` changes.
    pub fn since(&self, count: u64, ids: &[Uuid]) -> bool {
        if count < self.listening_since.load(Ordering::Acquire) {
            return true;
        }
        if self.count() == count {
            return false;
        }
        let touched = self.ids.read().unwrap_or_else(PoisonError::into_inner);
        ids.iter().any(|id| touched.get(id).is_some_and(|(at, _)| *at > count))
    }

    /// Forgets what nobody remembers any more.
    pub fn tidy(&self, now: Instant) {
        let mut ids = self.ids.write().unwrap_or_else(PoisonError::into_inner);
        ids.retain(|_, (_, at)| now.duration_since(*at) < REMEMBERED + Duration::from_mins(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_checked_before_a_change_does_not_hold_after_it() {
        let (touched, now) = (Touched::default(), Instant::now());
        let (grant, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        touched.listen();
        let before = touched.count();
        assert!(!touched.since(before, &[grant]));
        touched.touch(grant, now);
        assert!(touched.since(before, &[other, grant]) && !touched.since(before, &[other]));
        assert!(!touched.since(touched.count(), &[grant]), "checked after it");
        touched.tidy(now + REMEMBERED);
        assert!(touched.since(before, &[grant]), "somebody may still remember what was before");
        touched.tidy(now + REMEMBERED + Duration::from_mins(2));
        assert!(!touched.since(before, &[grant]));
    }

    #[test]
    fn what_was_checked_before_anybody_listened_does_not_hold() {
        let (touched, grant) = (Touched::default(), Uuid::from_u128(1));
        let before = touched.count();
        assert!(touched.since(before, &[grant]), "it may be revoked, and nobody would hear of it");
        touched.listen();
        assert!(touched.since(before, &[grant]), "it may have been revoked before anybody listened");
        assert!(!touched.since(touched.count(), &[grant]), "checked anew");
    }
}
