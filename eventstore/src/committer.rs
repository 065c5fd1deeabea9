//! The group committer: one task that sends one batch at a time, and collects the next batch while one is in flight.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use kernel::{Clock, Position, TenantId};
use tokio::sync::{Mutex, OwnedMutexGuard, broadcast, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::append::{Appended, Error};
use crate::append_connection::{AppendConnection, NoResult};
use crate::batch::{Batch, PendingAppend};
use crate::channels::{self, Page};
use crate::meters::Meters;
use crate::queue::Queue;
use crate::statement::{NotWritten, Outcome};
use crate::{Settings, claim_key, closed};

/// How long the appends of a tenant that was found closed are refused without asking the database again.
const CLOSED_TTL: Duration = Duration::from_millis(100);

/// By how much a batch overtakes the time of the log when it was found behind it twice in a row: at first, doubled up to the longest.
const LEAD: (TimeDelta, TimeDelta) = (TimeDelta::milliseconds(1), TimeDelta::seconds(1));

/// Takes appends from the queue and commits them in batches.
#[derive(Clone)]
pub(crate) struct Committer {
    pub(crate) queue: Arc<Queue>,
    pub(crate) settings: Settings,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) appended: watch::Sender<Position>,
    pub(crate) pages: broadcast::Sender<Page>,
    pub(crate) meters: Meters,
    pub(crate) closing: CancellationToken,
    /// Locked while it runs. One that is started again has to know the server process on which the former one may still be writing.
    pub(crate) connection: Arc<Mutex<AppendConnection>>,
}

impl Drop for Committer {
    /// However the committer ended, no caller waits for an answer that never comes.
    fn drop(&mut self) {
        self.queue.abandon();
    }
}

/// The batch that is being collected while another one is in flight.
struct NextBatch {
    batch: Batch,
    /// Appends that could not join the batch, in order of arrival.
    later: VecDeque<PendingAppend>,
}

impl Committer {
    /// Runs until the queue is closed and empty. Every append that it took gets an answer. Started again after a panic, it takes appends
    /// again, which were refused meanwhile.
    pub(crate) async fn run(mut self) {
        let mut connection = Arc::clone(&self.connection).lock_owned().await;
        // After a panic there may be something on it that was not read.
        connection.give_up();
        self.queue.open();
        let mut sender = BatchSender {
            connection,
            min_recorded_at: DateTime::<Utc>::MIN_UTC,
            settings: self.settings.clone(),
            clock: Arc::clone(&self.clock),
            appended: self.appended.clone(),
            pages: self.pages.clone(),
            meters: self.meters.clone(),
            closed: HashMap::new(),
        };
        let mut next = self.empty(&sender);
        loop {
            if next.batch.is_empty() {
                let Some(first) = self.receive().await else { break };
                next = self.empty(&sender);
                self.admit(&mut next, first);
            }
            while next.later.is_empty()
                && let Some(more) = self.queue.try_take()
            {
                self.admit(&mut next, more);
            }
            let NextBatch { batch, later } = next;
            let min_recorded_at = sender.min_recorded_at.max(batch.recorded_at);
            let (in_flight, closing) = (sender.send(batch), self.closing.clone().cancelled_owned());
            tokio::pin!(in_flight, closing);
            next = self.refill(min_recorded_at, later);
            loop {
                tokio::select! {
                    biased;
                    () = &mut in_flight => break,
                    // An append that does not fit stays in the queue, which alternates between tenants. Bulk appends stay there too, so
                    // that small ones that arrive meanwhile get into the next batch.
                    Some(more) = self.queue.take_small(),
                        if next.batch.has_room(&self.settings) && next.later.len() < self.settings.batch_appends =>
                    {
                        self.admit(&mut next, more);
                    }
                    () = &mut closing, if !self.queue.is_closed() => self.queue.close(),
                }
            }
        }
        sender.connection.close().await;
    }

    /// The next append; `None`: the queue is closed and empty.
    async fn receive(&mut self) -> Option<PendingAppend> {
        tokio::select! {
            biased;
            () = self.closing.cancelled(), if !self.queue.is_closed() => {
                self.queue.close();
                self.queue.take().await
            }
            pending = self.queue.take() => pending,
        }
    }

    fn empty(&self, sender: &BatchSender) -> NextBatch {
        NextBatch { batch: Batch::new(self.clock.now().max(sender.min_recorded_at)), later: VecDeque::new() }
    }

    /// Begins the next batch with the appends that could not join the last one.
    fn refill(&self, min_recorded_at: DateTime<Utc>, pending: VecDeque<PendingAppend>) -> NextBatch {
        let mut next = NextBatch { batch: Batch::new(self.clock.now().max(min_recorded_at)), later: VecDeque::new() };
        for pending in pending {
            self.admit(&mut next, pending);
        }
        next
    }

    fn admit(&self, next: &mut NextBatch, pending: PendingAppend) {
        // Its caller has stopped waiting, and it was not sent yet.
        if pending.is_cancelled() {
            return;
        }
        if next.batch.admits(&pending, &self.settings) {
            next.batch.push(pending);
        } else {
            next.later.push_back(pending);
        }
    }
}

/// Sends batches to the database and answers their callers.
struct BatchSender {
    connection: OwnedMutexGuard<AppendConnection>,
    /// The lower bound of the next `recorded_at`: the times in a log never decrease.
    min_recorded_at: DateTime<Utc>,
    settings: Settings,
    clock: Arc<dyn Clock>,
    appended: watch::Sender<Position>,
    pages: broadcast::Sender<Page>,
    meters: Meters,
    /// Tenants that were found closed, and until when that is assumed without asking again.
    closed: HashMap<TenantId, Instant>,
}

impl BatchSender {
    /// Sends a batch and answers each of its callers. A batch that the database refuses is split in halves until the bad append is found,
    /// so that it does not fail the others.
    async fn send(&mut self, batch: Batch) {
        let deadline = Instant::now() + self.settings.append_timeout;
        let mut batches = vec![batch];
        let mut lead = TimeDelta::zero();
        while let Some(mut batch) = batches.pop() {
            if batch.is_empty() {
                continue;
            }
            if batch.recorded_at < self.min_recorded_at {
                batch = batch.with_recorded_at(self.min_recorded_at);
            }
            if !self.closed.is_empty() {
                batch = self.without_closed(batch);
                if batch.is_empty() {
                    continue;
                }
            }
            match self.connection.append(&batch, deadline).await {
                Ok(Outcome::Decided { before, after, refusals }) => {
                    self.min_recorded_at = batch.recorded_at;
                    self.answer(batch, before, after, refusals);
                }
                Ok(Outcome::Behind(recorded_at)) => {
                    self.min_recorded_at = self.clock.now().max(recorded_at + lead);
                    // If our clock is slow, processes that write without a pause move the log's time on before we get the lock again.
                    lead = (lead * 2).clamp(LEAD.0, LEAD.1);
                    batches.push(batch);
                }
                Err(NoResult::Unknown(reason)) => fail(batch, &reason),
                Err(NoResult::Outdated(places)) => {
                    let (outdated, rest) = batch.split_off(|place, _| places.contains(&place));
                    tracing::warn!(appends = outdated.len(), "the log may have lost what these appends rest on");
                    for pending in outdated {
                        pending.answer(Err(Error::Outdated));
                    }
                    batches.push(rest);
                }
                Err(NoResult::Refused(error)) if closed::refuses(&error) && batch.appends.len() == 1 => {
                    if let Some(pending) = batch.appends.pop() {
                        let tenant = pending.append.tenant;
                        self.closed.insert(tenant, Instant::now() + CLOSED_TTL);
                        pending.answer(Err(Error::Closed { tenant }));
                    }
                }
                // The same for all of them.
                Err(NoResult::Refused(error)) if claim_key::is_another(&error) => fail(batch, &error.to_string()),
                Err(NoResult::Refused(error)) if batch.appends.len() > 1 => {
                    tracing::warn!(%error, appends = batch.appends.len(), "a batch can't be stored; narrowing it down");
                    let (first, second) = batch.split_in_half();
                    batches.extend([second, first]);
                }
                Err(NoResult::Refused(error)) => {
                    tracing::error!(%error, "the database refused an append");
                    if let Some(pending) = batch.appends.pop() {
                        pending.answer(Err(Error::Storage(error)));
                    }
                }
            }
        }
    }

    /// Answers appends of tenants that were found closed a moment ago, so that they don't cause the batch to be split again.
    fn without_closed(&mut self, batch: Batch) -> Batch {
        let now = Instant::now();
        self.closed.retain(|_, until| *until > now);
        let (closed, batch) = batch.split_off(|_, pending| self.closed.contains_key(&pending.append.tenant));
        for pending in closed {
            let tenant = pending.append.tenant;
            pending.answer(Err(Error::Closed { tenant }));
        }
        batch
    }

    fn answer(&self, batch: Batch, before: Position, after: Position, refusals: Vec<(usize, NotWritten)>) {
        self.meters.batch(batch.events());
        let recorded_at = batch.recorded_at;
        let mut refusals = refusals.into_iter().map(|(index, why)| (index, Some(why))).collect::<Vec<_>>();
        refusals.sort_unstable_by_key(|(index, _)| *index);
        let mut refused = refusals.into_iter().peekable();
        let mut head = before;
        let mut answers = Vec::with_capacity(batch.appends.len());
        // Without receivers no page is prepared.
        let mut page = Vec::with_capacity(if self.pages.receiver_count() > 0 { batch.events() } else { 0 });
        for (index, mut pending) in batch.appends.into_iter().enumerate() {
            let answer = match refused.next_if(|(refused, _)| *refused == index) {
                Some((_, Some(NotWritten::Repeated { first, last, recorded_at, answer }))) => {
                    Ok(Appended { first, last, recorded_at, answer: Some(answer) })
                }
                Some((_, Some(NotWritten::Refused(error)))) => {
                    self.meters.conflict();
                    Err(error)
                }
                _ => {
                    if page.capacity() > 0 {
                        pending.append.record(head, recorded_at, &mut page);
                    }
                    let first = if pending.events == 0 { head } else { head.next() };
                    head = Position(head.0 + pending.events as u64);
                    Ok(Appended { first, last: head, recorded_at, answer: None })
                }
            };
            answers.push((pending, answer));
        }
        // All consumers of the log rely on positions without gaps.
        let dense = head == after;
        if !dense {
            tracing::error!(%before, %after, counted = %head, "the log's positions are not what this batch has");
        }
        self.meters.events(after.0.saturating_sub(before.0));
        self.appended.send_if_modified(|last| {
            let moved = after > *last;
            *last = after.max(*last);
            moved
        });
        if dense && !page.is_empty() {
            channels::send(&self.pages, &Page::new(page));
        }
        for (pending, answer) in answers {
            self.meters.append(pending.since.elapsed());
            let answer = if dense { answer } else { Err(Error::Unavailable("its position is not known".to_owned())) };
            pending.answer(answer);
        }
    }
}

fn fail(batch: Batch, reason: &str) {
    tracing::error!(appends = batch.appends.len(), reason, "a batch has no result");
    for pending in batch.appends {
        pending.answer(Err(Error::Unavailable(reason.to_owned())));
    }
}
