//! Events that a receiver refuses as such: dead letters of its endpoint ([`deadletters`]), sent again in the order of their
//! aggregate while the others go on.

use std::time::Duration;

use deadletters::{Backoff, Consumer, Entry, Held, Kind, Outcome, Share, Taken};
use kernel::RecordedEvent;
use sqlx::PgPool;
use tokio::time::Instant;
use uuid::Uuid;

use crate::note;
use crate::worker::Target;

/// What is parked of one endpoint.
pub(crate) struct Letters {
    consumer: Consumer,
    held: Held,
    /// When to look for one that is due. Nothing is parked: never.
    due: Option<Instant>,
    backoff: Backoff,
}

/// How an endpoint is called among those who can't take events.
pub(crate) fn consumer(endpoint: Uuid) -> Consumer {
    Consumer::new(Kind::Webhook, &endpoint.to_string())
}

impl Letters {
    /// What the database has.
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

    /// How many aggregates' events are parked.
    pub(crate) fn aggregates(&self) -> usize {
        self.held.len()
    }

    /// When to look for one that is due.
    pub(crate) const fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Parks an event and moves the cursor past it, in one transaction. False: the cursor is not this worker's any more.
    pub(crate) async fn park(
        &mut self,
        pool: &PgPool,
        target: &Target,
        event: &RecordedEvent,
        errors: Option<Vec<String>>,
    ) -> Result<bool, sqlx::Error> {
        let mut transaction = pool.begin().await?;
        if !note::parked(&mut transaction, target, event.position).await? {
            return Ok(false);
        }
        let entry = Entry::new(event, errors);
        deadletters::park(&mut transaction, &self.consumer, std::slice::from_ref(&entry), self.backoff).await?;
        transaction.commit().await?;
        self.held.add(&entry);
        self.due.get_or_insert(Instant::now() + self.backoff.first);
        Ok(true)
    }

    /// Looks for one that is due as soon as it can be: somebody decided about one.
    pub(crate) fn look_now(&mut self) {
        self.due = self.due.map(|due| due.min(Instant::now()));
    }

    /// The letter that is due first, if any is, of those about which somebody decided before the others. It is not locked while it is
    /// sent: nobody else sends for this endpoint.
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

    /// The same, if somebody decided about it.
    pub(crate) async fn take_decided(&self, pool: &PgPool) -> Result<Option<Taken>, sqlx::Error> {
        let mut transaction = pool.begin().await?;
        let taken = deadletters::take_decided(&mut transaction, &self.consumer, Share::WHOLE, 1).await?;
        transaction.commit().await?;
        Ok(taken)
    }

    /// Writes down what came of it; to [rest](Self::rest) after.
    pub(crate) async fn settle(&self, pool: &PgPool, taken: &Taken, outcome: Outcome) -> Result<(), sqlx::Error> {
        let mut transaction = pool.begin().await?;
        deadletters::settle(&mut transaction, &self.consumer, taken, outcome, self.backoff).await?;
        transaction.commit().await
    }

    /// Looks again when the next one is due, after `least` at the earliest, and after `look` at the latest: what people decide is seen then.
    pub(crate) async fn rest(&mut self, pool: &PgPool, look: Duration, least: Duration) -> Result<(), sqlx::Error> {
        let mut connection = pool.acquire().await?;
        // As the database has it: whoever delivered before us may have had one on its way still, and nothing waits behind that any more.
        self.held = Held::load(&mut connection, &self.consumer, Share::WHOLE).await?;
        let due = deadletters::due(&mut connection, &self.consumer, Share::WHOLE).await?;
        self.due = due.map(|due| Instant::now() + due.min(look).max(least));
        Ok(())
    }
}
