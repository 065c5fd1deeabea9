//! Dead letters of sagas ([`deadletters`]): events of which a saga could not decide whether they start it. They are retried in the order of
//! their aggregate.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use deadletters::{Backoff, Consumer, Entry, Held, Kind, Share, Taken};
use kernel::RecordedEvent;
use sqlx::PgConnection;
use tokio::time::Instant;

use crate::coordinator::Shared;
use crate::step_context::Fault;
use crate::{Error, rows};

/// The prefix of the consumer names of sagas in the dead letter tables.
pub(crate) const CONSUMERS: &str = "saga.";

/// The dead letter consumer of a saga.
pub(crate) fn consumer(saga: &str) -> Consumer {
    Consumer::new(Kind::Saga, saga)
}

/// The errors to store with a dead letter.
pub(crate) fn errors(saga: &str, fault: &Fault) -> Vec<String> {
    vec![format!("{saga} can't say whether the event starts it: {}", fault.code), fault.reason.clone()]
}

/// The parked aggregates of a service's sagas, as this process knows them.
#[derive(Default)]
pub(crate) struct Letters {
    held: HashMap<&'static str, Held>,
    /// When the next dead letter may be due; `None` if nothing is parked.
    due: Option<Instant>,
    pub(crate) backoff: Backoff,
}

impl Letters {
    /// Loads them from the database, for a coordinator that just became active. All of them are retried soon, because this program may be
    /// able to process what an earlier one could not.
    pub(crate) async fn load(shared: &Shared) -> Result<Self, Error> {
        adopt(shared).await?;
        let mut letters = Self { backoff: shared.settings.backoff, ..Self::default() };
        let mut connection = shared.pool.acquire().await?;
        for definition in shared.sagas.newest() {
            letters.reload(&mut connection, definition.name).await?;
            if letters.held.get(definition.name).is_some_and(|held| !held.is_empty()) {
                let consumer = consumer(definition.name);
                deadletters::retry_soon(&mut connection, &consumer, Share::WHOLE, letters.backoff.first).await?;
                letters.due = Some(Instant::now());
            }
        }
        Ok(letters)
    }

    /// Whether an event has to wait because an earlier one of its aggregate is parked.
    pub(crate) fn holds(&self, saga: &str, event: &RecordedEvent) -> bool {
        self.held.get(saga).is_some_and(|held| held.holds(event))
    }

    /// Adds events that were just parked.
    pub(crate) fn add(&mut self, parked: &[(&'static str, Entry)]) {
        for (saga, entry) in parked {
            self.held.entry(saga).or_default().add(entry);
        }
        if !parked.is_empty() && self.due.is_none() {
            self.due = Some(Instant::now() + self.backoff.first);
        }
    }

    /// Removes an aggregate whose events were all processed.
    pub(crate) fn drained(&mut self, saga: &str, taken: &Taken) {
        if let Some(held) = self.held.get_mut(saga) {
            held.remove(taken);
        }
    }

    /// Reloads a saga's dead letters from the database. Needed because destroying a tenant deletes its dead letters, in any process.
    pub(crate) async fn reload(
        &mut self,
        connection: &mut PgConnection,
        saga: &'static str,
    ) -> Result<(), sqlx::Error> {
        let held = Held::load(connection, &consumer(saga), Share::WHOLE).await?;
        self.held.insert(saga, held);
        Ok(())
    }

    /// Whether it is time to check for due dead letters.
    pub(crate) fn is_due(&self) -> bool {
        self.due.is_some_and(|due| due <= Instant::now())
    }

    /// Schedules the next check after this time, which also finds decisions that people made through other processes.
    pub(crate) fn check_in(&mut self, pause: Duration) {
        let any = self.held.values().any(|held| !held.is_empty());
        self.due = any.then(|| Instant::now() + pause);
    }

    /// The number of parked aggregates of all sagas.
    pub(crate) fn count(&self) -> usize {
        self.held.values().map(Held::len).sum()
    }

    /// The number of parked aggregates, by saga.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (&'static str, usize)> {
        self.held.iter().map(|(saga, held)| (*saga, held.len()))
    }
}

/// Stores parked events, in the transaction that writes the batch's other effects.
pub(crate) async fn store(
    connection: &mut PgConnection,
    parked: &[(&'static str, Entry)],
    backoff: Backoff,
) -> Result<(), sqlx::Error> {
    let mut by_saga: HashMap<&str, Vec<Entry>> = HashMap::new();
    for (saga, entry) in parked {
        by_saga.entry(saga).or_default().push(entry.clone());
    }
    for (saga, entries) in by_saga {
        deadletters::park(connection, &consumer(saga), &entries, backoff).await?;
    }
    Ok(())
}

/// Takes over events that programs before 2026-12 parked in a table of the coordinator's own.
async fn adopt(shared: &Shared) -> Result<(), Error> {
    let old = rows::parked(&shared.pool).await?;
    if old.is_empty() {
        return Ok(());
    }
    let mut transaction = shared.pool.begin().await?;
    for definition in shared.sagas.newest() {
        let ours: Vec<_> = old.iter().filter(|(saga, _)| saga == definition.name).map(|(_, at)| *at).collect();
        let mut known = HashSet::new();
        let mut entries = Vec::new();
        for event in shared.store.events_at(&ours).await? {
            let first = known.insert((event.tenant, event.aggregate_type.clone(), event.aggregate_id.clone()));
            entries.push(Entry::new(&event, first.then(|| vec!["parked by an earlier program".to_owned()])));
        }
        deadletters::park(&mut transaction, &consumer(definition.name), &entries, Backoff::default()).await?;
        for at in ours {
            rows::unpark(&mut *transaction, definition.name, at).await?;
        }
    }
    transaction.commit().await?;
    Ok(())
}
