//! Attempts, decisions and events of letters. Each is read for all shown letters in one query, in a transaction in which `app.tenant_id` is
//! set.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use eventstore::lists::distribute;
use kernel::{Position, RecordedEvent, TenantId};
use serde::Serialize;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgConnection, Row};

use crate::LetterId;

/// An attempt to process a letter's event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Attempt {
    /// The number of the attempt, from 1.
    pub attempt: u32,
    /// When it ended.
    pub at: DateTime<Utc>,
    /// The errors; empty if it succeeded.
    pub errors: Vec<String>,
}

/// What was decided about a letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DecisionKind {
    /// Its event is tried again.
    Redrive,
    /// The consumer sees another payload.
    Edit,
    /// The consumer does not see the event.
    Discard,
}

impl DecisionKind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Redrive, Self::Edit, Self::Discard];

    /// The kind's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Redrive => "redrive",
            Self::Edit => "edit",
            Self::Discard => "discard",
        }
    }
}

impl FromStr for DecisionKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|kind| kind.as_str() == text);
        found.ok_or_else(|| format!("{text:?} is not a decision about a dead letter"))
    }
}

/// A decision about a letter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Decided {
    /// What was decided.
    pub kind: DecisionKind,
    /// The subject that decided.
    pub actor: String,
    /// The reason, for people.
    pub reason: String,
    /// When it was decided.
    pub decided_at: DateTime<Utc>,
    /// For an edit: the payload that the consumer saw before.
    pub before: Option<String>,
    /// For an edit: the payload that it sees since.
    pub after: Option<String>,
}

/// The tenant's events at these positions as stored, with personal data encrypted; in no particular order.
pub async fn events(
    tables: &mut PgConnection,
    tenant: TenantId,
    positions: &[Position],
) -> Result<Vec<RecordedEvent>, sqlx::Error> {
    eventstore::stored_in(tables, tenant, positions).await.map_err(|error| match error {
        eventstore::Error::Storage(error) => error,
        other => sqlx::Error::Decode(other.into()),
    })
}

impl Attempt {
    /// The stored attempts of each of these letters, newest first.
    pub async fn of(
        tables: &mut PgConnection,
        tenant: TenantId,
        letters: &[LetterId],
    ) -> Result<Vec<Vec<Self>>, sqlx::Error> {
        let sql = "SELECT l.nth, a.*
             FROM UNNEST($2::text[], $3::bigint[]) WITH ORDINALITY AS l (consumer, position, nth) CROSS JOIN LATERAL (
                 SELECT attempt, at, errors FROM dead.attempts a
                 WHERE a.tenant_id = $1 AND a.consumer = l.consumer AND a.position = l.position OFFSET 0) a
             ORDER BY l.nth, a.attempt DESC";
        of_each(tables, tenant, letters, sql).await
    }
}

impl Decided {
    /// The decisions about each of these letters, newest first, with payloads as stored: personal data is encrypted.
    pub async fn of(
        tables: &mut PgConnection,
        tenant: TenantId,
        letters: &[LetterId],
    ) -> Result<Vec<Vec<Self>>, sqlx::Error> {
        let sql = "SELECT l.nth, d.*
             FROM UNNEST($2::text[], $3::bigint[]) WITH ORDINALITY AS l (consumer, position, nth) CROSS JOIN LATERAL (
                 SELECT d.nth AS decision, kind, actor, reason, decided_at, before, after FROM dead.decisions d
                 WHERE d.tenant_id = $1 AND d.consumer = l.consumer AND d.position = l.position OFFSET 0) d
             ORDER BY l.nth, d.decision DESC";
        of_each(tables, tenant, letters, sql).await
    }
}

/// Runs `sql` for a tenant (`$1`) and letters (`$2` consumers, `$3` positions). It reads letter by letter along the primary key, since each
/// has few rows; its OFFSET 0 keeps the planner from reversing that order.
async fn of_each<T: for<'r> FromRow<'r, PgRow>>(
    tables: &mut PgConnection,
    tenant: TenantId,
    letters: &[LetterId],
    sql: &str,
) -> Result<Vec<Vec<T>>, sqlx::Error> {
    let consumers: Vec<&str> = letters.iter().map(|letter| letter.consumer.as_str()).collect();
    let positions: Vec<i64> = letters.iter().map(|letter| letter.position.as_i64()).collect();
    let rows = sqlx::query(sql).bind(tenant.uuid()).bind(consumers).bind(positions).fetch_all(tables).await?;
    distribute(&rows, letters.len())
}

impl FromRow<'_, PgRow> for Attempt {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let attempt = row.try_get::<i32, _>("attempt")?.cast_unsigned();
        Ok(Self { attempt, at: row.try_get("at")?, errors: row.try_get("errors")? })
    }
}

impl FromRow<'_, PgRow> for Decided {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let kind = row.try_get::<&str, _>("kind")?.parse::<DecisionKind>();
        Ok(Self {
            kind: kind.map_err(|error| sqlx::Error::Decode(error.into()))?,
            actor: row.try_get("actor")?,
            reason: row.try_get("reason")?,
            decided_at: row.try_get("decided_at")?,
            before: row.try_get("before")?,
            after: row.try_get("after")?,
        })
    }
}
