//! Dead letters of an endpoint ([`deadletters`]): events that its receiver refuses. They are retried in the order of their aggregate, while
//! other events continue.

use std::time::Duration;

use deadletters::{Backoff, Consumer, Entry, Held, Kind, Outcome, Share, Taken};
use kernel::RecordedEvent;
use sqlx::PgPool;
use tokio::time::Instant;
use uuid::Uuid;

use crate::attempts;
use crate::worker::Target;

/// An endpoint's dead letters, as its worker knows them.
pub(crate) struct Letters {
    consumer: Consumer,
    held: Held,
    /// When to check for a due letter; `None` if nothing is parked.
    due: Option<Instant>,
    backoff: Backoff,
}

/// The dead letter consumer of an endpoint.
pub(crate) fn consumer(endpoint: Uuid) -> Consumer {
    Consumer::new(Kind::Webhook, &endpoint.to_string())
}

impl Letters {
    /// Loads them from the database.
    pub(crate) async fn load(pool: &PgPool, endpoint: Uuid, backoff: Backoff) -> Result<Self, sqlx::Error> {
        let consumer = consumer(endpoint);
        let mut connection = pool.acquire().await?;
        let held = Held::load(&mut connection, &consumer, Share::WHOLE).await?;
        let due = (!held.is_empty()).then(Instant::now);
        Ok(Self { consumer, held, due, backoff })
    }

    /// Whether an event has to wait for an earlier one of its aggregate.
    pub(crate) fn holds(&self, event: &RecordedEvent) -> bool {
        self.held.holds(event)
    }

    /// The number of aggregates with parked events.
    pub(crate) fn aggregates(&self) -> usize {
        self.held.len()
    }

    /// When to check for a due letter.
    pub(crate) const fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Parks an event and moves the cursor past it, in one transaction. Returns false if the cursor was changed by somebody else.
    pub(crate) async fn park(
        &mut self,
        pool: &PgPool,
        target: &Target,
        event: &RecordedEvent,
        errors: Option<Vec<String>>,
    ) -> Result<bool, sqlx::Error> {
        let mut transaction = pool.begin().await?;
        if !attempts::parked(&mut transaction, target, event.position).await? {
            return Ok(false);
        }
        let entry = Entry::new(event, errors);
        deadletters::park(&mut transaction, &self.consumer, std::slice::from_ref(&entry), self.backoff).await?;
        transaction.commit().await?;
        self.held.add(&entry);
        self.due.get_or_insert(Instant::now() + self.backoff.first);
        Ok(true)
    }

    /// Makes the next check due now, because somebody decided about a letter.
    pub(crate) fn check_now(&mut self) {
        self.due = self.due.map(|due| due.min(Instant::now()));
    }

    /// The due letter to send next; those about which somebody decided come first. It is not locked while it is sent, because no other
    /// worker sends to this endpoint.
    pub(crate) async fn take(&self, pool: &PgPool) -> Result<Option<Taken>, sqlx::Error> {
        let decided = self.take_decided(pool).await?;
        if decided.is_some() {
            return Ok(decided);
        }
        let mut transaction = pool.begin().await?;
        let taken = deadletters::take(&mut transaction, &self.consumer, Share::WHOLE, 1).await?;
        transaction.commit().await?;
        Ok(taken)
    }

    /// The due letter to send next, only if somebody decided about it.
    pub(crate) async fn take_decided(&self, pool: &PgPool) -> Result<Option<Taken>, sqlx::Error> {
        let mut transaction = pool.begin().await?;
        let taken = deadletters::take_decided(&mut transaction, &self.consumer, Share::WHOLE, 1).await?;
        transaction.commit().await?;
        Ok(taken)
    }

    /// Records the result of an attempt. Call [`schedule`](Self::schedule) afterwards.
    pub(crate) async fn settle(&self, pool: &PgPool, taken: &Taken, outcome: Outcome) -> Result<(), sqlx::Error> {
        let mut transaction = pool.begin().await?;
        deadletters::settle(&mut transaction, &self.consumer, taken, outcome, self.backoff).await?;
        transaction.commit().await
    }

    /// Schedules the next check for when the next letter is due, but no earlier than after `least`, and no later than after
    /// `poll_interval`, to notice decisions.
    pub(crate) async fn schedule(
        &mut self,
        pool: &PgPool,
        poll_interval: Duration,
        least: Duration,
    ) -> Result<(), sqlx::Error> {
        let mut connection = pool.acquire().await?;
        // Reload from the database: a former deliverer may have recorded a result, after which an aggregate has nothing parked any more.
        self.held = Held::load(&mut connection, &self.consumer, Share::WHOLE).await?;
        let due = deadletters::due(&mut connection, &self.consumer, Share::WHOLE).await?;
        self.due = due.map(|due| Instant::now() + due.min(poll_interval).max(least));
        Ok(())
    }
}
