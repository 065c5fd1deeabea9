//! The worker of one endpoint: sends its tenant's events one after the other, each until it is delivered or parked.

mod retrying;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use eventstore::{EventSlice, EventStore, Seldom, SuspendedTenants};
use futures::FutureExt;
use futures::future::OptionFuture;
use kernel::{Position, RecordedEvent, TenantId, TypePatterns};
use nats::cloudevent;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::attempts::{self, Attempt};
use crate::letters::Letters;
use crate::slots::SendSlots;
use crate::{Message, Outcome, Secret, Webhooks};

/// The number of events that are read from the log at once.
const PAGE: u32 = 200;
/// When the process stops: how long to wait for a request under way. If it takes longer, the next process sends the event again.
const GRACE: Duration = Duration::from_secs(2);
/// Old deliveries are deleted once in this many attempts.
const TRIM: u32 = 64;
/// The pause after the log or the tables did not answer.
const PAUSE: Duration = Duration::from_secs(1);

/// An endpoint's configuration and cursor, as of the worker's start.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) tenant: TenantId,
    pub(crate) id: Uuid,
    pub(crate) url: String,
    pub(crate) types: TypePatterns,
    pub(crate) secret: Secret,
    pub(crate) former: Option<(Secret, DateTime<Utc>)>,
    pub(crate) version: i64,
    pub(crate) generation: i64,
    pub(crate) position: Position,
    pub(crate) attempts: u32,
    pub(crate) failing_since: Option<DateTime<Utc>>,
    pub(crate) next_attempt_at: Option<DateTime<Utc>>,
}

/// What the workers of a process share.
pub(crate) struct Shared {
    pub(crate) webhooks: Webhooks,
    pub(crate) store: EventStore,
    /// Limits concurrent requests.
    pub(crate) slots: SendSlots,
    /// Changes when somebody decided about a dead letter.
    pub(crate) decided: watch::Receiver<()>,
    /// The log's last position when the deliverer last looked, for events that the bus did not announce.
    pub(crate) log_head: watch::Receiver<Position>,
    /// Nothing is delivered to them now.
    pub(crate) paused: SuspendedTenants,
    /// For warnings of all tasks that wait for the log, or for the tables of webhooks.
    pub(crate) waiting_for: Waiting,
}

/// How often warnings say what the webhooks of a process wait for.
#[derive(Default)]
pub(crate) struct Waiting {
    log: Seldom,
    tables: Seldom,
}

impl Waiting {
    /// Warns that the log does not answer.
    pub(crate) fn log(&self, error: &eventstore::Error) {
        if self.log.is_due() {
            tracing::warn!(%error, "webhooks wait for the log");
        }
    }

    /// Warns that the tables of webhooks do not answer.
    pub(crate) fn tables(&self, error: &sqlx::Error) {
        if self.tables.is_due() {
            tracing::warn!(%error, "webhooks wait for their tables");
        }
    }
}

pub(crate) struct Worker {
    target: Target,
    shared: Arc<Shared>,
    stop: CancellationToken,
    /// The stored position, and when it was stored.
    stored: (Position, Instant),
    /// The number of attempts that were recorded.
    attempts_recorded: u32,
    /// The endpoint's dead letters; `None` until they are loaded.
    letters: Option<Letters>,
    decided: watch::Receiver<()>,
    log_head: watch::Receiver<Position>,
}

/// Why a step was not completed.
enum Interruption {
    /// The worker has to end: it was stopped, its endpoint was changed, or its tenant is suspended. The deliverer starts another one if needed.
    Ended,
    Log(eventstore::Error),
    Tables(sqlx::Error),
}

impl From<eventstore::Error> for Interruption {
    fn from(error: eventstore::Error) -> Self {
        Self::Log(error)
    }
}

impl From<sqlx::Error> for Interruption {
    fn from(error: sqlx::Error) -> Self {
        Self::Tables(error)
    }
}

impl Worker {
    pub(crate) fn new(mut target: Target, shared: Arc<Shared>, stop: CancellationToken) -> Self {
        let parts = shared.webhooks.parts();
        let overdue = target.next_attempt_at.and_then(|due| (parts.clock.now() - due).to_std().ok());
        if overdue.is_some_and(|overdue| overdue > parts.settings.longest_pause()) {
            // No process tried for longer than the longest pause, which is not the receiver's failure.
            target.failing_since = None;
        }
        let stored = (target.position, Instant::now());
        let (decided, log_head) = (shared.decided.clone(), shared.log_head.clone());
        Self { target, shared, stop, stored, attempts_recorded: 0, letters: None, decided, log_head }
    }

    /// Delivers until it is stopped, its endpoint is changed, or its tenant is suspended.
    pub(crate) async fn run(mut self) {
        let stop = self.stop.clone();
        let positions = self.shared.webhooks.parts().positions.clone();
        positions.set(self.target.id, self.target.position);
        while !stop.is_cancelled() {
            // Subscribe before the log is read, so that no event is missed in between.
            let bus = &self.shared.webhooks.parts().bus;
            let event = bus.next_event(self.shared.webhooks.service(), self.target.tenant).await.ok();
            match self.deliver_pending().await {
                Ok(()) => {
                    stop.run_until_cancelled(self.wait_for_work(event)).await;
                }
                Err(Interruption::Ended) => break,
                Err(interruption) => {
                    match interruption {
                        Interruption::Log(error) => self.shared.waiting_for.log(&error),
                        Interruption::Tables(error) => self.shared.waiting_for.tables(&error),
                        Interruption::Ended => {}
                    }
                    stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await;
                }
            }
        }
        positions.remove(self.target.id);
    }

    /// Waits until there may be something to do: the bus announced an `event`, the log has grown, somebody decided about a dead letter, or
    /// something is due. Asks nobody meanwhile, so a webhook costs nothing while nobody writes.
    async fn wait_for_work(&mut self, event: Option<impl Future<Output = ()>>) {
        let (due, position) = (self.due(), self.target.position);
        let Self { log_head, decided, letters, .. } = self;
        tokio::select! {
            Some(()) = OptionFuture::from(event) => {}
            true = grown(log_head, position) => {}
            Ok(()) = decided.changed() => letters.iter_mut().for_each(Letters::check_now),
            Some(()) = OptionFuture::from(due.map(tokio::time::sleep_until)) => {}
            else => std::future::pending().await,
        }
    }

    /// When there is something to do by itself: look for a parked event that is due, or store the position.
    fn due(&self) -> Option<Instant> {
        let (stored, at) = self.stored;
        let unstored = stored < self.target.position;
        let store = unstored.then(|| at + self.shared.webhooks.parts().settings.poll_interval);
        self.letters.as_ref().and_then(Letters::due).into_iter().chain(store).min()
    }

    /// Delivers new events from the log, and parked events that are due.
    async fn deliver_pending(&mut self) -> Result<(), Interruption> {
        let parts = self.shared.webhooks.parts();
        if self.letters.is_none() {
            self.letters = Some(Letters::load(parts.deliver, self.target.id, parts.settings.backoff).await?);
            // Former workers may have left more deliveries than are kept.
            attempts::trim(parts.deliver, self.target.tenant, self.target.id, parts.settings.kept).await?;
        }
        loop {
            self.retry_parked().await?;
            // Read the head before the events: they reach at least this position.
            let head = self.shared.store.head().await?;
            if head <= self.target.position {
                return self.store_position().await;
            }
            let (tenant, after) = (self.target.tenant, self.target.position);
            let EventSlice { events, more, .. } = self.shared.store.tenant_after(tenant, after, head, PAGE).await?;
            for event in events {
                if self.stop.is_cancelled() {
                    return Err(Interruption::Ended);
                }
                if self.target.types.wants(&event.event_type) {
                    if self.letters.as_ref().is_some_and(|letters| letters.holds(&event)) {
                        self.park(&event, None).await?;
                    } else {
                        self.deliver(&event).await?;
                    }
                }
                self.advance(event.position);
            }
            if !more {
                self.advance(head);
                return self.store_position().await;
            }
        }
    }

    fn advance(&mut self, position: Position) {
        self.target.position = position;
        self.shared.webhooks.parts().positions.set(self.target.id, position);
    }

    /// Stores the position from time to time, if only unwanted events moved it.
    async fn store_position(&mut self) -> Result<(), Interruption> {
        let parts = self.shared.webhooks.parts();
        let (stored, at) = self.stored;
        if stored < self.target.position && at.elapsed() >= parts.settings.poll_interval {
            if !attempts::skipped(parts.deliver, &self.target).await? {
                return Err(Interruption::Ended);
            }
            self.stored = (self.target.position, Instant::now());
        }
        Ok(())
    }

    /// Sends one event until it is delivered or parked.
    async fn deliver(&mut self, event: &RecordedEvent) -> Result<(), Interruption> {
        let service = self.shared.webhooks.service();
        let body = match cloudevent::structured(service, event) {
            Ok(body) => body,
            Err(reason) => {
                // The log only accepts JSON, so another program must have written this.
                tracing::error!(position = %event.position, reason, "an event that is no JSON is not delivered");
                return self.park(event, Some(vec![reason])).await;
            }
        };
        let park_after = self.shared.webhooks.parts().settings.park_after;
        // A former worker may have tried it.
        let mut refusals = match self.target.attempts {
            0 => 0,
            _ => attempts::refusals(self.shared.webhooks.parts().deliver, &self.target, event, park_after).await?,
        };
        loop {
            self.wait().await?;
            let (outcome, at) = self.send(event.event_id, &body).await?;
            self.target.attempts += 1;
            let attempt = Attempt { event, at, nth: self.target.attempts, outcome: &outcome };
            self.count(&outcome);
            let parts = self.shared.webhooks.parts();
            let delivery = parts.ids.next();
            if outcome.delivered() {
                (self.target.attempts, self.target.failing_since, self.target.next_attempt_at) = (0, None, None);
                let is_ours = attempts::delivered(parts.deliver, &self.target, delivery, attempt).await?;
                self.stored = (event.position, Instant::now());
                self.recorded().await?;
                return if is_ours { Ok(()) } else { Err(Interruption::Ended) };
            }
            self.fail(delivery, attempt).await?;
            // Only consecutive refusals count: another answer in between shows that the cause may have been a different one.
            refusals = if outcome.refuses_event() { refusals + 1 } else { 0 };
            if refusals >= park_after {
                return self.park(event, Some(errors_of(&outcome))).await;
            }
        }
    }

    /// Parks an event, and continues with the next.
    async fn park(&mut self, event: &RecordedEvent, errors: Option<Vec<String>>) -> Result<(), Interruption> {
        let parts = self.shared.webhooks.parts();
        let Some(letters) = &mut self.letters else { return Err(Interruption::Ended) };
        let is_refused = errors.is_some();
        if !letters.park(parts.deliver, &self.target, event, errors).await? {
            return Err(Interruption::Ended);
        }
        if is_refused {
            tracing::warn!(
                webhook = %self.target.id, tenant = %self.target.tenant, position = %event.position,
                event_type = event.event_type, "a receiver refuses an event; it is parked with the later ones of its aggregate"
            );
        }
        (self.target.attempts, self.target.failing_since, self.target.next_attempt_at) = (0, None, None);
        self.stored = (event.position, Instant::now());
        let most = parts.settings.most_parked;
        if letters.aggregates() >= most {
            let reason = format!("it refused events of {most} aggregates, which are parked");
            return self.disable(parts.clock.now(), &reason).await;
        }
        Ok(())
    }

    /// Records a failure and schedules the next attempt; or disables the endpoint.
    async fn fail(&mut self, delivery: Uuid, attempt: Attempt<'_>) -> Result<(), Interruption> {
        let webhooks = self.shared.webhooks.clone();
        let parts = webhooks.parts();
        let (at, outcome) = (attempt.at, attempt.outcome);
        let since = *self.target.failing_since.get_or_insert(at);
        let pause = parts.settings.pause(self.target.attempts, &**parts.random);
        let pause = pause.max(outcome.retry_after.unwrap_or_default()).min(parts.settings.longest_pause());
        self.target.next_attempt_at = Some(at + TimeDelta::from_std(pause).unwrap_or(TimeDelta::hours(1)));
        let is_ours = attempts::failed(parts.deliver, &self.target, delivery, attempt).await?;
        if !is_ours {
            return Err(Interruption::Ended);
        }
        self.recorded().await?;
        let failing = (at - since).to_std().unwrap_or_default();
        let reason = if outcome.gone() {
            Some("the receiver answered 410 Gone: it wants no more events".to_owned())
        } else if failing >= parts.settings.disable_after && self.target.attempts >= parts.settings.least_attempts() {
            let hours = failing.as_secs() / 3_600;
            Some(format!("it failed for {hours} h, {} times in a row", self.target.attempts))
        } else {
            None
        };
        match reason {
            None => Ok(()),
            Some(reason) => self.disable(at, &reason).await,
        }
    }

    /// Disables the endpoint.
    async fn disable(&self, at: DateTime<Utc>, reason: &str) -> Result<(), Interruption> {
        tracing::warn!(webhook = %self.target.id, tenant = %self.target.tenant, reason, "a webhook is disabled");
        attempts::disable(self.shared.webhooks.parts().deliver, &self.target, at, reason).await?;
        Err(Interruption::Ended)
    }

    /// Counts a recorded attempt, and deletes old deliveries from time to time.
    async fn recorded(&mut self) -> Result<(), Interruption> {
        self.attempts_recorded += 1;
        if self.attempts_recorded.is_multiple_of(TRIM) {
            let parts = self.shared.webhooks.parts();
            attempts::trim(parts.deliver, self.target.tenant, self.target.id, parts.settings.kept).await?;
        }
        Ok(())
    }

    /// Waits until the next attempt is due. Meanwhile, parked events about which somebody decides are sent at once.
    async fn wait(&mut self) -> Result<(), Interruption> {
        let Some(due) = self.target.next_attempt_at else { return Ok(()) };
        let webhooks = self.shared.webhooks.clone();
        let parts = webhooks.parts();
        // The limit protects from a clock that was ahead when the time was recorded.
        let pause = (due - parts.clock.now()).to_std().unwrap_or_default().min(parts.settings.longest_pause());
        let until = Instant::now() + pause;
        loop {
            self.send_decided(until).await?;
            let next_poll = until.min(Instant::now() + parts.settings.poll_interval);
            tokio::select! {
                () = self.stop.cancelled() => return Err(Interruption::Ended),
                // Noted, too, in case the event is due before this is looked at.
                Ok(()) = self.decided.changed() => self.letters.iter_mut().for_each(Letters::check_now),
                () = tokio::time::sleep_until(next_poll) => {}
            }
            if Instant::now() >= until {
                return Ok(());
            }
        }
    }

    async fn send(&self, id: Uuid, body: &[u8]) -> Result<(Outcome, DateTime<Utc>), Interruption> {
        let parts = self.shared.webhooks.parts();
        let slot = self.stop.run_until_cancelled(self.shared.slots.take(self.target.tenant)).await;
        let Some(Some(_slot)) = slot else {
            return Err(Interruption::Ended);
        };
        if !attempts::current(parts.deliver, &self.target).await? || self.shared.paused.contains(self.target.tenant) {
            return Err(Interruption::Ended);
        }
        let at = parts.clock.now();
        let former = self.target.former.as_ref().filter(|(_, until)| *until > at).map(|(secret, _)| secret);
        let secrets = std::iter::once(&self.target.secret).chain(former);
        let sent = parts.sender.send(&self.target.url, secrets, Message { id, at, body });
        let late = self.stop.cancelled().then(|()| tokio::time::sleep(GRACE));
        tokio::select! {
            outcome = sent => Ok((outcome, at)),
            () = late => Err(Interruption::Ended),
        }
    }

    fn count(&self, outcome: &Outcome) {
        let service = self.shared.webhooks.service().name();
        let result = if outcome.delivered() { "delivered" } else { "failed" };
        metrics::counter!("inopsio_webhook_deliveries_total", "service" => service, "result" => result).increment(1);
        metrics::histogram!("inopsio_webhook_delivery_seconds", "service" => service).record(outcome.duration);
    }
}

/// Waits until somebody finds that the log goes on after `position`; false: nobody looks any more. Each look wakes once: if the log lost its
/// end meanwhile, there is nothing to wake for again.
async fn grown(log_head: &mut watch::Receiver<Position>, position: Position) -> bool {
    while log_head.changed().await.is_ok() {
        if *log_head.borrow_and_update() > position {
            return true;
        }
    }
    false
}

/// The errors to store with a parked event, including the receiver's answer, for people.
fn errors_of(outcome: &Outcome) -> Vec<String> {
    let response = Some(&outcome.response).filter(|response| !response.is_empty());
    outcome.error.iter().chain(response).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_look_at_a_log_that_has_grown_wakes_once() {
        let (head, mut log_head) = watch::channel(Position::START);
        let mut woken = || grown(&mut log_head, Position(5)).now_or_never();
        assert_eq!(woken(), None);
        head.send_replace(Position(9));
        assert_eq!((woken(), woken()), (Some(true), None));
        // A server took over that lacked the log's end.
        head.send_replace(Position(5));
        assert_eq!(woken(), None);
        head.send_replace(Position(6));
        assert_eq!(woken(), Some(true));
        drop(head);
        assert_eq!(woken(), Some(false));
    }
}
