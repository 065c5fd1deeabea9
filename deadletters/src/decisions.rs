//! What people decided about events of a consumer: to be heeded whenever it takes them, now or when it is built anew.

use std::collections::BTreeMap;

use bytes::Bytes;
use eventstore::EventStore;
use kernel::{Position, RecordedEvent, TenantId};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use crate::Consumer;

/// What holds for an event. What is personal in an edit is sealed as it is stored: see [`Decisions::opened`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The consumer sees this payload instead.
    Edited(Bytes),
    /// The consumer never sees it.
    Discarded,
}

/// Verdicts by position.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decisions(BTreeMap<Position, Verdict>);

/// A part of a run of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Events to be taken, as the consumer is to see them.
    Events(Vec<RecordedEvent>),
    /// An event that is passed over.
    Discarded(RecordedEvent),
}

/// The last edit or discard of each event.
macro_rules! verdicts {
    ($condition:literal) => {
        concat!(
            "SELECT DISTINCT ON (position) position, after FROM dead.decisions WHERE consumer = $1 AND kind <> 'redrive' AND ",
            $condition,
            " ORDER BY position, nth DESC"
        )
    };
}

/// What holds for these events.
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
    /// All that hold for a consumer, of all tenants: there are as many as people have made.
    pub async fn load(connection: &mut PgConnection, consumer: &Consumer) -> Result<Self, sqlx::Error> {
        // A position is one event of one tenant.
        let rows = sqlx::query(verdicts!("true")).bind(consumer.as_str()).fetch_all(connection).await?;
        Self::read(&rows)
    }

    /// One that holds for nobody yet: to see what would come of it.
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

    /// The same, with what is sealed in edits of these events opened, for who is to see them; what was sealed under a key that is
    /// destroyed stays.
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

    /// What holds for an event, if anything was decided.
    pub fn on(&self, position: Position) -> Option<&Verdict> {
        self.0.get(&position)
    }

    /// The payload of an event as the consumer sees it, or would if it were not discarded.
    pub(crate) fn payload_of(&self, event: &RecordedEvent) -> Bytes {
        match self.on(event.position) {
            Some(Verdict::Edited(payload)) => payload.clone(),
            Some(Verdict::Discarded) | None => event.payload.clone(),
        }
    }

    /// Whether the consumer never sees this event.
    pub fn discards(&self, position: Position) -> bool {
        self.on(position) == Some(&Verdict::Discarded)
    }

    /// Whether nothing was decided about any of these events, which are in order.
    pub fn silent_on(&self, first: Position, last: Position) -> bool {
        self.0.range(first..=last).next().is_none()
    }

    /// A run of events, as the consumer is to see it, in order.
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
