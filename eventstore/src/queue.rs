//! The queue of appends that wait for the committer. It is fair between tenants and prefers small appends to bulk ones.
//!
//! Tenants take turns (round robin), so a tenant's wait does not grow with the number of appends of another tenant. A bulk append (a chunk
//! of an import) waits while there are small ones, but for at most [`SMALL_BEFORE_BULK`] of them, and goes into batches of its own.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use kernel::TenantId;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::Settings;
use crate::append::Error;
use crate::batch::PendingAppend;

/// After this many small appends a waiting bulk append is taken.
const SMALL_BEFORE_BULK: usize = 64;

/// Why it is closed for good.
const CLOSING: &str = "it is closing";

/// Why it is closed until the committer runs again.
const FAULT: &str = "it is started again after a fault";

pub(crate) struct Queue {
    state: Mutex<State>,
    arrived: Notify,
    /// The most appends that may wait: of all tenants, and of one.
    limit: usize,
    limit_of_a_tenant: usize,
}

#[derive(Default)]
struct State {
    /// The waiting appends of each tenant, in order of arrival. Tenants without waiting appends have no entry.
    by_tenant: HashMap<TenantId, VecDeque<PendingAppend>>,
    /// The order of the tenants: those whose next append is small, and those whose next append is bulk.
    small: VecDeque<TenantId>,
    bulk: VecDeque<TenantId>,
    pending: usize,
    /// The number of small appends taken while a bulk one waits.
    small_since_bulk: usize,
    /// The two tenants that last queued small appends, and when.
    recent: [Option<(TenantId, Instant)>; 2],
    /// Why the queue is closed: [`CLOSING`] or [`FAULT`].
    closed: Option<&'static str>,
}

impl Queue {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            state: Mutex::default(),
            arrived: Notify::new(),
            limit: settings.queue,
            limit_of_a_tenant: settings.queue_of_a_tenant,
        }
    }

    /// Adds an append.
    ///
    /// # Errors
    /// [`Error::Busy`] if too many are waiting; [`Error::Unavailable`] if the queue is closed.
    pub(crate) fn push(&self, pending: PendingAppend) -> Result<(), Error> {
        let tenant = pending.append.tenant;
        let is_bulk = pending.is_bulk();
        self.with(|state| {
            if let Some(reason) = state.closed {
                return Err(Error::Unavailable(reason.to_owned()));
            }
            if state.pending >= self.limit {
                return Err(Error::Busy(format!("{} appends wait already", self.limit)));
            }
            let appends = state.by_tenant.entry(tenant).or_default();
            if appends.len() >= self.limit_of_a_tenant {
                return Err(Error::Busy(format!("{} appends of this tenant wait already", self.limit_of_a_tenant)));
            }
            appends.push_back(pending);
            if appends.len() == 1 {
                if is_bulk { &mut state.bulk } else { &mut state.small }.push_back(tenant);
            }
            state.pending += 1;
            if !is_bulk {
                state.note_recent(tenant);
            }
            Ok(())
        })?;
        self.arrived.notify_one();
        Ok(())
    }

    /// Takes the next append, if there is one.
    pub(crate) fn try_take(&self) -> Option<PendingAppend> {
        self.with(|state| state.take(true))
    }

    /// Waits for the next append and takes it; `None`: the queue is closed and empty. Cancellation safe.
    pub(crate) async fn take(&self) -> Option<PendingAppend> {
        self.wait(true).await
    }

    /// As [`take`](Self::take), but leaves bulk appends in the queue.
    pub(crate) async fn take_small(&self) -> Option<PendingAppend> {
        self.wait(false).await
    }

    async fn wait(&self, bulk: bool) -> Option<PendingAppend> {
        loop {
            let (taken, closed) = self.with(|state| (state.take(bulk), state.closed));
            if taken.is_some() || closed.is_some() {
                return taken;
            }
            self.arrived.notified().await;
        }
    }

    /// Refuses further appends; waiting ones can still be taken.
    pub(crate) fn close(&self) {
        self.with(|state| state.closed = Some(CLOSING));
        self.arrived.notify_one();
    }

    /// Closes the queue until it is [opened](Self::open) again, and drops the waiting appends: their callers get an error.
    pub(crate) fn abandon(&self) {
        let forgotten = self.with(|state| {
            let closed = state.closed.or(Some(FAULT));
            std::mem::replace(state, State { closed, ..State::default() })
        });
        drop(forgotten);
    }

    /// Accepts appends again after [`abandon`](Self::abandon), unless the log is closing.
    pub(crate) fn open(&self) {
        self.with(|state| state.closed = state.closed.filter(|reason| *reason != FAULT));
    }

    /// Whether another tenant queued a small append within this time.
    pub(crate) fn others_queued_within(&self, tenant: TenantId, recent: Duration) -> bool {
        let is_other = |(asked, at): &(TenantId, Instant)| *asked != tenant && at.elapsed() < recent;
        self.with(|state| state.recent.iter().flatten().any(is_other))
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.with(|state| state.closed.is_some())
    }

    fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    fn note_recent(&mut self, tenant: TenantId) {
        if self.recent[0].is_none_or(|(last, _)| last != tenant) {
            self.recent[1] = self.recent[0];
        }
        self.recent[0] = Some((tenant, Instant::now()));
    }

    fn take(&mut self, bulk: bool) -> Option<PendingAppend> {
        let bulk_is_due =
            bulk && !self.bulk.is_empty() && (self.small.is_empty() || self.small_since_bulk >= SMALL_BEFORE_BULK);
        let tenant = if bulk_is_due { self.bulk.pop_front() } else { self.small.pop_front() }?;
        self.small_since_bulk = if bulk_is_due || self.bulk.is_empty() { 0 } else { self.small_since_bulk + 1 };
        let appends = self.by_tenant.get_mut(&tenant)?;
        let taken = appends.pop_front()?;
        match appends.front() {
            None => drop(self.by_tenant.remove(&tenant)),
            Some(next) if next.is_bulk() => self.bulk.push_back(tenant),
            Some(_) => self.small.push_back(tenant),
        }
        self.pending -= 1;
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;
    use uuid::Uuid;

    use super::*;
    use crate::append::{Append, CommandRecord, NewEvent, StreamAppend};

    #[expect(clippy::disallowed_methods, reason = "a test's tenants")]
    fn pending(tenant: u128, events: usize) -> PendingAppend {
        let event = NewEvent {
            event_id: Uuid::nil(),
            event_type: "demo.lamp.lit",
            event_version: 1,
            payload: "{}".to_owned(),
            metadata: "{}".into(),
            occurred_at: chrono::DateTime::UNIX_EPOCH,
        };
        let append = Append {
            tenant: TenantId::vouched(Uuid::from_u128(tenant)),
            command: CommandRecord { id: "one".to_owned(), request_hash: [0; 32], answer: "{}".to_owned() },
            streams: vec![StreamAppend {
                aggregate_type: "demo.lamp",
                aggregate_id: "hall".to_owned(),
                expected: 0,
                events: vec![event; events],
            }],
            claims: Vec::new(),
        };
        PendingAppend::new(append, Vec::new(), oneshot::channel().0)
    }

    fn queue(waiting_in: &[(u128, usize)]) -> Queue {
        let queue = Queue::new(&Settings::default());
        for (tenant, events) in waiting_in {
            queue.push(pending(*tenant, *events)).unwrap();
        }
        queue
    }

    /// The tenants in the order in which their appends are taken, with the size of each append.
    fn taken(queue: &Queue) -> Vec<(u128, usize)> {
        let all = std::iter::from_fn(|| queue.try_take());
        all.map(|one| (one.append.tenant.uuid().as_u128(), one.events)).collect()
    }

    #[test]
    fn tenants_take_turns_however_many_one_has() {
        let mut all = vec![(1, 1); 1_000];
        all.extend([(2, 1), (3, 1), (2, 1)]);
        let order = taken(&queue(&all));
        assert_eq!(order[..6], [(1, 1), (2, 1), (3, 1), (1, 1), (2, 1), (1, 1)]);
        assert_eq!(order.len(), 1_003);
    }

    #[test]
    fn small_appends_go_before_bulk_but_not_for_ever() {
        assert_eq!(taken(&queue(&[(1, 400), (1, 400), (2, 1), (3, 50)])), [(2, 1), (3, 50), (1, 400), (1, 400)]);
        let mut all = vec![(1, 400)];
        all.extend(vec![(2, 1); 500]);
        let at = taken(&queue(&all)).iter().position(|(tenant, _)| *tenant == 1).unwrap();
        assert_eq!(at, SMALL_BEFORE_BULK);
        // The small appends of the same tenant wait behind its bulk append: the order of its appends is kept.
        assert_eq!(taken(&queue(&[(1, 400), (1, 1)])), [(1, 400), (1, 1)]);
    }

    #[test]
    fn a_tenant_fills_only_its_part_of_the_queue() {
        let settings = Settings { queue: 5, queue_of_a_tenant: 3, ..Settings::default() };
        let queue = Queue::new(&settings);
        for _ in 0..3 {
            queue.push(pending(1, 1)).unwrap();
        }
        let refused = queue.push(pending(1, 1)).unwrap_err();
        assert!(matches!(&refused, Error::Busy(why) if why.contains("3 appends of this tenant")), "{refused:?}");
        queue.push(pending(2, 1)).unwrap();
        queue.push(pending(3, 1)).unwrap();
        let refused = queue.push(pending(4, 1)).unwrap_err();
        assert!(matches!(&refused, Error::Busy(why) if why.contains("5 appends")), "{refused:?}");
        assert_eq!(taken(&queue), [(1, 1), (2, 1), (3, 1), (1, 1), (1, 1)]);
    }

    #[tokio::test(start_paused = true)]
    #[expect(clippy::disallowed_methods, reason = "a test's tenants")]
    async fn who_asked_lately_for_what_is_small_is_known() {
        let tenant = |number| TenantId::vouched(Uuid::from_u128(number));
        let recent = Duration::from_secs(1);
        let queue = queue(&[(1, 1), (2, 400)]);
        // Bulk appends are not counted.
        assert!(!queue.others_queued_within(tenant(1), recent));
        assert!(queue.others_queued_within(tenant(2), recent));
        queue.push(pending(2, 1)).unwrap();
        queue.push(pending(2, 1)).unwrap();
        assert!(queue.others_queued_within(tenant(1), recent) && queue.others_queued_within(tenant(2), recent));
        tokio::time::advance(recent).await;
        assert!(!queue.others_queued_within(tenant(1), recent) && !queue.others_queued_within(tenant(3), recent));
    }

    #[tokio::test]
    async fn what_waits_when_it_closes_is_still_taken() {
        let queue = queue(&[(1, 1), (2, 400)]);
        queue.close();
        assert!(matches!(queue.push(pending(1, 1)), Err(Error::Unavailable(_))));
        assert_eq!(queue.take().await.unwrap().events, 1);
        assert!(queue.take_small().await.is_none());
        assert_eq!(queue.take().await.unwrap().events, 400);
        assert!(queue.take().await.is_none());
    }

    #[tokio::test]
    async fn whoever_waits_is_woken_and_bulk_is_not_taken_for_small() {
        let queue = queue(&[(1, 400)]);
        let small = async { queue.take_small().await.unwrap().append.tenant.uuid().as_u128() };
        let pushing = async {
            tokio::task::yield_now().await;
            queue.push(pending(2, 1)).unwrap();
        };
        assert_eq!(tokio::join!(small, pushing).0, 2);
        assert_eq!(taken(&queue), [(1, 400)]);
    }
}
