//! What was decided: the commands that a tenant's log holds, each with who gave it and what they needed for it.
//!
//! A command is a run of events of one command id: an append gives all of its events positions that follow on each other, and no
//! other append comes between. What changed nothing, was only read, or was refused, is no event and so not here.
//!
//! These read on the caller's connection, in a transaction in which the tenant is set.

use chrono::{DateTime, Utc};
use kernel::{Position, TenantId};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

/// Along `events_tenant_position`. The event at `$2` itself is looked at for its command's id, and no more.
const PAGE: &str = "SELECT e.position, e.recorded_at, e.event_type, e.metadata ->> 'command_id' AS command,
            e.metadata ->> 'actor' AS actor, e.metadata ->> 'permissions' AS permissions
     FROM log.events e
     WHERE e.tenant_id = $1 AND e.position >= $2 AND e.position <= $3
     ORDER BY e.position LIMIT $4";

/// Along `events_tenant_position`.
const NEXT: &str = "SELECT e.position, e.recorded_at FROM log.events e
     WHERE e.tenant_id = $1 AND e.position > $2
     ORDER BY e.position LIMIT 1";

/// A command that was carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Of its last event.
    pub position: Position,
    /// When the log took it.
    pub recorded_at: DateTime<Utc>,
    /// The subject in whose name it came.
    pub actor: String,
    /// What it needed, separated by spaces; none: that was not kept yet when it was written.
    pub permissions: Option<String>,
    /// Wire names of what happened, each once.
    pub events: Vec<String>,
}

/// Decisions one after another, and where they end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decisions {
    /// In the order of the log.
    pub decisions: Vec<Decision>,
    /// How far the log was read for them: where the next page begins.
    pub last: Position,
    /// Whether more may follow.
    pub more: bool,
}

/// The last position at which the log had something of a tenant before a moment; the start if nothing.
///
/// Times never go back along the positions of a tenant, so this is found by halving, in a few dozen looks at an index at most.
pub async fn before(tables: &mut PgConnection, tenant: TenantId, at: DateTime<Utc>) -> Result<Position, sqlx::Error> {
    let mut high: i64 = sqlx::query_scalar("SELECT position FROM log.head").fetch_one(&mut *tables).await?;
    let mut low = 0;
    while low < high {
        let middle = low + (high - low) / 2;
        let next: Option<(i64, DateTime<Utc>)> =
            sqlx::query_as(NEXT).bind(tenant.uuid()).bind(middle).fetch_optional(&mut *tables).await?;
        match next {
            Some((position, recorded_at)) if recorded_at < at => low = position,
            _ => high = middle,
        }
    }
    Ok(Position::from_i64(low))
}

/// A tenant's decisions after the one that ends at `after`, up to `until`: those of at most `limit` events.
/// Of a command with more events than that the first ones are told of.
pub async fn page(
    tables: &mut PgConnection,
    tenant: TenantId,
    (after, until): (Position, Position),
    limit: u32,
) -> Result<Decisions, sqlx::Error> {
    // One more than is wanted: the last one before them.
    let wanted = i64::from(limit) + 1;
    let query = sqlx::query(PAGE).bind(tenant.uuid()).bind(after.as_i64()).bind(until.as_i64()).bind(wanted);
    let rows = query.fetch_all(tables).await?;
    let full = i64::try_from(rows.len()).is_ok_and(|rows| rows == wanted);
    let mut found = Decisions { last: after, more: full, ..Decisions::default() };
    let mut last: Option<String> = None;
    for row in &rows {
        let (position, command): (i64, Option<String>) = (row.try_get("position")?, row.try_get("command")?);
        let command = command.unwrap_or_default();
        let same = last.as_deref() == Some(command.as_str());
        last = Some(command);
        let position = Position::from_i64(position);
        if position == after {
            continue;
        }
        found.last = position;
        match found.decisions.last_mut() {
            Some(decision) if same => {
                decision.position = position;
                let event: String = row.try_get("event_type")?;
                if !decision.events.contains(&event) {
                    decision.events.push(event);
                }
            }
            // The rest of a command that was told of already.
            None if same => {}
            _ => found.decisions.push(begin(row, position)?),
        }
    }
    // More events of the last one may follow. Where there is no other, the rest of them is passed over next time.
    if full && found.decisions.len() > 1 {
        found.decisions.pop();
        found.last = found.decisions.last().map_or(after, |decision| decision.position);
    }
    Ok(found)
}

fn begin(row: &PgRow, position: Position) -> Result<Decision, sqlx::Error> {
    Ok(Decision {
        position,
        recorded_at: row.try_get("recorded_at")?,
        actor: row.try_get::<Option<String>, _>("actor")?.unwrap_or_default(),
        permissions: row.try_get("permissions")?,
        events: vec![row.try_get("event_type")?],
    })
}
