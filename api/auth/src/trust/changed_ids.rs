//! Invalidation of cached tokens: the ids that have changed, and when. A cached token is valid only as long as none of the ids that it
//! depends on has changed since it was verified.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use uuid::Uuid;

/// How long a verified token may be cached; then it is verified again in any case. Changed ids are kept a little longer than that. Both are
/// measured by the monotonic clock: with a wall clock that is set back, a token whose change is already forgotten could become valid again.
pub const MAX_CACHE_AGE: Duration = Duration::from_mins(10);

/// The changed grants, machines, keys and so on. There is one instance per process.
#[derive(Debug)]
pub struct ChangedIds {
    /// Tokens that were verified at a lower count are not valid: changes were not followed yet at that time.
    listening_since: AtomicU64,
    /// The number of changes so far. A verifier reads it before it verifies, and passes it to [`changed_since`](Self::changed_since) later.
    count: AtomicU64,
    ids: RwLock<HashMap<Uuid, (u64, Instant)>>,
    told: watch::Sender<()>,
}

impl Default for ChangedIds {
    fn default() -> Self {
        // Nothing may be cached before changes are followed.
        Self {
            listening_since: AtomicU64::new(u64::MAX),
            count: AtomicU64::new(0),
            ids: RwLock::default(),
            told: watch::Sender::default(),
        }
    }
}

impl ChangedIds {
    /// Changes are followed from now on. Tokens that were verified earlier have to be verified again, for changes may have been missed.
    pub fn listen(&self) {
        let ids = self.ids.write().unwrap_or_else(PoisonError::into_inner);
        let count = self.count.load(Ordering::Acquire) + 1;
        self.count.store(count, Ordering::Release);
        self.listening_since.store(count, Ordering::Release);
        drop(ids);
        self.told.send_replace(());
    }

    /// Changes may have been missed, although they are followed: as [`listen`](Self::listen). Without effect before that was called.
    pub fn may_have_missed(&self) {
        if self.listening_since.load(Ordering::Acquire) != u64::MAX {
            self.listen();
        }
    }

    /// The number of changes so far. It has to be read before verifying, so that a change in the meantime counts as later.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Acquire)
    }

    /// Notes that the aggregate with this id has changed.
    pub fn record(&self, id: Uuid, now: Instant) {
        let mut ids = self.ids.write().unwrap_or_else(PoisonError::into_inner);
        let count = self.count.load(Ordering::Acquire) + 1;
        ids.insert(id, (count, now));
        // The count is stored last: whoever sees it finds the id as well.
        self.count.store(count, Ordering::Release);
        drop(ids);
        self.told.send_replace(());
    }

    /// Notifies of every change, for connections that stay open.
    pub fn subscribe(&self) -> watch::Receiver<()> {
        self.told.subscribe()
    }

    /// Whether one of these ids has changed since the number of changes was `count`.
    pub fn changed_since(&self, count: u64, ids: &[Uuid]) -> bool {
        if count < self.listening_since.load(Ordering::Acquire) {
            return true;
        }
        if self.count() == count {
            return false;
        }
        let changed_ids = self.ids.read().unwrap_or_else(PoisonError::into_inner);
        ids.iter().any(|id| changed_ids.get(id).is_some_and(|(at, _)| *at > count))
    }

    /// Removes ids that no cached token can depend on any more.
    pub fn tidy(&self, now: Instant) {
        let mut ids = self.ids.write().unwrap_or_else(PoisonError::into_inner);
        ids.retain(|_, (_, at)| now.duration_since(*at) < MAX_CACHE_AGE + Duration::from_mins(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_checked_before_a_change_does_not_hold_after_it() {
        let (changed_ids, now) = (ChangedIds::default(), Instant::now());
        let (grant, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        changed_ids.listen();
        let before = changed_ids.count();
        assert!(!changed_ids.changed_since(before, &[grant]));
        changed_ids.record(grant, now);
        assert!(changed_ids.changed_since(before, &[other, grant]) && !changed_ids.changed_since(before, &[other]));
        assert!(!changed_ids.changed_since(changed_ids.count(), &[grant]), "checked after it");
        changed_ids.tidy(now + MAX_CACHE_AGE);
        assert!(changed_ids.changed_since(before, &[grant]), "somebody may still remember what was before");
        changed_ids.tidy(now + MAX_CACHE_AGE + Duration::from_mins(2));
        assert!(!changed_ids.changed_since(before, &[grant]));
    }

    #[test]
    fn what_was_checked_before_anybody_listened_does_not_hold() {
        let (changed_ids, grant) = (ChangedIds::default(), Uuid::from_u128(1));
        let before = changed_ids.count();
        assert!(changed_ids.changed_since(before, &[grant]), "it may be revoked, and nobody would hear of it");
        changed_ids.listen();
        assert!(changed_ids.changed_since(before, &[grant]), "it may have been revoked before anybody listened");
        assert!(!changed_ids.changed_since(changed_ids.count(), &[grant]), "checked anew");
    }

    #[test]
    fn what_was_checked_before_changes_may_have_been_missed_does_not_hold_and_nothing_does_before_anybody_listens() {
        let (changed_ids, grant) = (ChangedIds::default(), Uuid::from_u128(1));
        changed_ids.may_have_missed();
        assert!(changed_ids.changed_since(changed_ids.count(), &[grant]), "nobody listens");
        changed_ids.listen();
        let before = changed_ids.count();
        changed_ids.may_have_missed();
        assert!(changed_ids.changed_since(before, &[grant]));
        assert!(!changed_ids.changed_since(changed_ids.count(), &[grant]), "checked anew");
    }
}
