//! Dead letters as they are listed and shown.

mod about;

pub use about::{Attempt, Decided, DecisionKind, events};
use chrono::{DateTime, Utc};
use kernel::{Position, TenantId};
use serde::Serialize;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use crate::{Consumer, LetterId};

/// The maximum number of events behind a letter that are counted.
const COUNTED: u32 = 10_000;

/// The state of a letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Processing failed, and is retried.
    Parked,
    /// It waits behind a parked event of its aggregate; it has no error of its own.
    Waiting,
    /// It was parked, and then processed.
    Applied,
    /// It was parked, and somebody discarded it.
    Discarded,
}

impl State {
    /// All states.
    pub const ALL: [Self; 4] = [Self::Parked, Self::Waiting, Self::Applied, Self::Discarded];

    /// The states that can be listed. Waiting events are only counted.
    pub const LISTED: [Self; 3] = [Self::Parked, Self::Applied, Self::Discarded];

    /// The state's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Parked => "parked",
            Self::Waiting => "waiting",
            Self::Applied => "applied",
            Self::Discarded => "discarded",
        }
    }

    fn read(text: &str) -> Result<Self, sqlx::Error> {
        let found = Self::ALL.into_iter().find(|state| state.as_str() == text);
        found.ok_or_else(|| sqlx::Error::Decode(format!("a letter is {text:?}").into()))
    }
}

/// A letter in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Letter {
    /// The letter's id: consumer and position.
    #[serde(serialize_with = "as_text")]
    pub id: LetterId,
    /// The aggregate's type.
    pub aggregate_type: String,
    /// The aggregate's id.
    pub aggregate_id: String,
    /// The event's type.
    pub event_type: String,
    /// Its state.
    pub state: State,
    /// The number of attempts.
    pub attempts: u32,
    /// The errors of the last failed attempt, outermost reason first.
    pub errors: Vec<String>,
    /// When the next attempt is due.
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// When it was parked.
    pub parked_at: DateTime<Utc>,
    /// When the state changed last.
    pub changed_at: DateTime<Utc>,
    /// The number of later events of its aggregate that wait behind it; at most 10,000 are counted.
    pub waiting: u64,
}

/// The filter and the page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// Only of this consumer.
    pub consumer: Option<Consumer>,
    /// Only letters in this state.
    pub state: State,
    /// Only letters after this one: the last one of the previous page.
    pub after: Option<LetterId>,
    /// The maximum number of letters.
    pub limit: u32,
}

fn as_text<S: serde::Serializer>(id: &LetterId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(id)
}

macro_rules! letters {
    ($rest:literal) => {
        concat!(
            "SELECT l.consumer, l.position, l.aggregate_type, l.aggregate_id, l.event_type, l.state, l.attempts, l.errors,
                    l.next_attempt_at, l.parked_at, l.changed_at, w.waiting
             FROM dead.letters l CROSS JOIN LATERAL (
                 SELECT count(*) AS waiting FROM (
                     SELECT FROM dead.letters w
                     WHERE l.state = 'parked' AND w.tenant_id = l.tenant_id AND w.consumer = l.consumer
                       AND w.aggregate_type = l.aggregate_type AND w.aggregate_id = l.aggregate_id AND w.state = 'waiting'
                     LIMIT $2) w) w
             WHERE l.tenant_id = $1 AND ",
            $rest
        )
    };
}

impl Letter {
    /// A tenant's letters, newest event first. `tables`: a transaction in which `app.tenant_id` is set.
    pub async fn list(
        tables: &mut PgConnection,
        tenant: TenantId,
        listing: &Listing,
    ) -> Result<Vec<Self>, sqlx::Error> {
        let (consumer, position) =
            listing.after.as_ref().map(|after| (after.consumer.as_str(), after.position.as_i64())).unzip();
        let rows = sqlx::query(letters!(
            "l.state <> 'waiting' AND l.state = $3 AND ($4::text IS NULL OR l.consumer = $4)
               AND ($5::bigint IS NULL OR (l.position, l.consumer) < ($5, $6))
             ORDER BY l.position DESC, l.consumer DESC LIMIT $7"
        ))
        .bind(tenant.uuid())
        .bind(i64::from(COUNTED))
        .bind(listing.state.as_str())
        .bind(listing.consumer.as_ref().map(Consumer::as_str))
        .bind(position)
        .bind(consumer)
        .bind(i64::from(listing.limit))
        .fetch_all(tables)
        .await?;
        rows.iter().map(Self::read).collect()
    }

    /// The number of a tenant's letters that match a listing, whatever page it asks for. Same preconditions as [`list`](Self::list).
    pub async fn count(tables: &mut PgConnection, tenant: TenantId, listing: &Listing) -> Result<i64, sqlx::Error> {
        sqlx::query_scalar(
            "SELECT count(*) FROM dead.letters
             WHERE tenant_id = $1 AND state <> 'waiting' AND state = $2 AND ($3::text IS NULL OR consumer = $3)",
        )
        .bind(tenant.uuid())
        .bind(listing.state.as_str())
        .bind(listing.consumer.as_ref().map(Consumer::as_str))
        .fetch_one(tables)
        .await
    }

    /// One letter of a tenant, also one that waits. Same preconditions as [`list`](Self::list).
    pub async fn find(tables: &mut PgConnection, tenant: TenantId, id: &LetterId) -> Result<Option<Self>, sqlx::Error> {
        let row = sqlx::query(letters!("l.consumer = $3 AND l.position = $4"))
            .bind(tenant.uuid())
            .bind(i64::from(COUNTED))
            .bind(id.consumer.as_str())
            .bind(id.position.as_i64())
            .fetch_optional(tables)
            .await?;
        row.as_ref().map(Self::read).transpose()
    }

    /// The positions of the events that wait behind a letter, in order.
    pub(crate) async fn behind(
        &self,
        tables: &mut PgConnection,
        tenant: TenantId,
        limit: u32,
    ) -> Result<Vec<Position>, sqlx::Error> {
        let found: Vec<i64> = sqlx::query_scalar(
            "SELECT position FROM dead.letters
             WHERE tenant_id = $1 AND consumer = $2 AND aggregate_type = $3 AND aggregate_id = $4 AND state = 'waiting'
             ORDER BY position LIMIT $5",
        )
        .bind(tenant.uuid())
        .bind(self.id.consumer.as_str())
        .bind(&self.aggregate_type)
        .bind(&self.aggregate_id)
        .bind(i64::from(limit))
        .fetch_all(tables)
        .await?;
        Ok(found.into_iter().map(Position::from_i64).collect())
    }

    fn read(row: &PgRow) -> Result<Self, sqlx::Error> {
        let consumer: &str = row.try_get("consumer")?;
        let consumer = consumer.parse().map_err(|error: String| sqlx::Error::Decode(error.into()))?;
        Ok(Self {
            id: LetterId { consumer, position: Position::from_i64(row.try_get("position")?) },
            aggregate_type: row.try_get("aggregate_type")?,
            aggregate_id: row.try_get("aggregate_id")?,
            event_type: row.try_get("event_type")?,
            state: State::read(row.try_get("state")?)?,
            attempts: row.try_get::<i32, _>("attempts")?.cast_unsigned(),
            errors: row.try_get("errors")?,
            next_attempt_at: row.try_get("next_attempt_at")?,
            parked_at: row.try_get("parked_at")?,
            changed_at: row.try_get("changed_at")?,
            waiting: row.try_get::<i64, _>("waiting")?.cast_unsigned(),
        })
    }
}
