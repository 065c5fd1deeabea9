//! People's decisions about events of a consumer. They apply whenever it processes these events, also in a rebuild.

use std::collections::BTreeMap;

use bytes::Bytes;
use eventstore::EventStore;
use kernel::{Position, RecordedEvent, TenantId};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use crate::Consumer;

/// The decision in force for an event. Personal data in an edit is encrypted, as it is stored: see [`Decisions::opened`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The consumer sees this payload instead of the log's.
    Edited(Bytes),
    /// The consumer does not process the event.
    Discarded,
}

/// The decisions in force, by position.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decisions(BTreeMap<Position, Verdict>);

/// A part of a sequence of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Events to process, with edited payloads where there are edits.
    Events(Vec<RecordedEvent>),
    /// An event to skip.
    Discarded(RecordedEvent),
}

/// Selects the last edit or discard of each event.
macro_rules! verdicts {
    ($condition:literal) => {
        concat!(
            "SELECT DISTINCT ON (position) position, after FROM dead.decisions WHERE consumer = $1 AND kind <> 'redrive' AND ",
            $condition,
            " ORDER BY position, nth DESC"
        )
    };
}

/// The decisions in force for these events.
pub(crate) async fn of(
    connection: &mut PgConnection,
    tenant: TenantId,
    consumer: &Consumer,
    positions: &[i64],
) -> Result<Decisions, sqlx::Error> {
    let rows = sqlx::query(verdicts!("tenant_id = $2 AND position = ANY($3)"))
        .bind(consumer.as_str())
        .bind(tenant.uuid())
        .bind(positions)
        .fetch_all(connection)
        .await?;
    Decisions::read(&rows)
}

impl Decisions {
    /// All decisions in force for a consumer, of all tenants. Their number is limited by what people do by hand.
    pub async fn load(connection: &mut PgConnection, consumer: &Consumer) -> Result<Self, sqlx::Error> {
        // Positions are unique across tenants.
        let rows = sqlx::query(verdicts!("true")).bind(consumer.as_str()).fetch_all(connection).await?;
        Self::read(&rows)
    }

    /// Adds a decision that is not stored, for a dry run.
    #[must_use]
    pub fn with(mut self, position: Position, verdict: Verdict) -> Self {
        self.0.insert(position, verdict);
        self
    }

    fn read(rows: &[PgRow]) -> Result<Self, sqlx::Error> {
        let verdict = |row: &PgRow| {
            let after: Option<String> = row.try_get("after")?;
            let verdict = after.map_or(Verdict::Discarded, |payload| Verdict::Edited(payload.into()));
            Ok((Position::from_i64(row.try_get("position")?), verdict))
        };
        Ok(Self(rows.iter().map(verdict).collect::<Result<_, sqlx::Error>>()?))
    }

    /// The same decisions, with personal data in the edits of these events decrypted. Data whose key was destroyed stays encrypted.
    ///
    /// # Errors
    /// As for [`EventStore::opened`].
    pub async fn opened(&self, store: &EventStore, events: &[RecordedEvent]) -> Result<Self, eventstore::Error> {
        let edited = events.iter().filter_map(|event| match self.on(event.position)? {
            Verdict::Edited(payload) => Some(RecordedEvent { payload: payload.clone(), ..event.clone() }),
            Verdict::Discarded => None,
        });
        let mut decisions = self.clone();
        for event in store.opened(edited.collect()).await? {
            decisions.0.insert(event.position, Verdict::Edited(event.payload));
        }
        Ok(decisions)
    }

    /// The decision in force for an event; `None` if there is none.
    pub fn on(&self, position: Position) -> Option<&Verdict> {
        self.0.get(&position)
    }

    /// The payload of an event as the consumer sees it; for a discarded event, that of the log.
    pub(crate) fn payload_of(&self, event: &RecordedEvent) -> Bytes {
        match self.on(event.position) {
            Some(Verdict::Edited(payload)) => payload.clone(),
            Some(Verdict::Discarded) | None => event.payload.clone(),
        }
    }

    /// Whether the event is discarded.
    pub fn discards(&self, position: Position) -> bool {
        self.on(position) == Some(&Verdict::Discarded)
    }

    /// Whether there is no decision about any event between these positions, both included.
    pub fn has_none_between(&self, first: Position, last: Position) -> bool {
        self.0.range(first..=last).next().is_none()
    }

    /// Splits a sequence of events into parts to process and events to skip, in order.
    pub fn parts(&self, events: impl IntoIterator<Item = RecordedEvent>) -> Vec<Part> {
        let mut parts = Vec::new();
        let mut run = Vec::new();
        for mut event in events {
            match self.on(event.position) {
                Some(Verdict::Discarded) => {
                    if !run.is_empty() {
                        parts.push(Part::Events(std::mem::take(&mut run)));
                    }
                    parts.push(Part::Discarded(event));
                    continue;
                }
                Some(Verdict::Edited(payload)) => event.payload = payload.clone(),
                None => {}
            }
            run.push(event);
        }
        if !run.is_empty() {
            parts.push(Part::Events(run));
        }
        parts
    }
}
