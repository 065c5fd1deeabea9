//! An audit view of the log: the commands that a tenant's log holds, each with its caller and the permissions that it required.
//!
//! A command is a run of consecutive events with the same command id: an append gives its events consecutive positions, and no other append
//! comes between them. Commands that changed nothing, queries, and refused requests have no events, so they are not included.
//!
//! These functions use the caller's connection, in a transaction in which the tenant is set.

use chrono::{DateTime, Utc};
use kernel::{Position, TenantId};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use crate::head_in;

/// Uses the index `events_tenant_position`. Of the event at `$2` itself only the command's id is used.
const PAGE: &str = "SELECT e.position, e.recorded_at, e.event_type, e.metadata ->> 'command_id' AS command,
            e.metadata ->> 'actor' AS actor, e.metadata ->> 'permissions' AS permissions
     FROM log.events e
     WHERE e.tenant_id = $1 AND e.position >= $2 AND e.position <= $3
     ORDER BY e.position LIMIT $4";

/// Uses the index `events_tenant_position`.
const NEXT: &str = "SELECT e.position, e.recorded_at FROM log.events e
     WHERE e.tenant_id = $1 AND e.position > $2
     ORDER BY e.position LIMIT 1";

/// A command that was executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The position of its last event.
    pub position: Position,
    /// When the log recorded it.
    pub recorded_at: DateTime<Utc>,
    /// The subject of the caller.
    pub actor: String,
    /// The permissions that it required, separated by spaces; `None`: it was written before they were recorded.
    pub permissions: Option<String>,
    /// The wire names of its events, without repetitions.
    pub events: Vec<String>,
}

/// A page of decisions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decisions {
    /// In the order of the log.
    pub decisions: Vec<Decision>,
    /// The position up to which the log was read, from which the next page continues.
    pub last: Position,
    /// Whether more may follow.
    pub more: bool,
}

/// The position of a tenant's last event before a time; 0 if there is none.
///
/// The times of a tenant's events never decrease with their positions, so this is a binary search with at most a few dozen index lookups.
pub async fn before(tables: &mut PgConnection, tenant: TenantId, at: DateTime<Utc>) -> Result<Position, sqlx::Error> {
    let mut high = head_in(&mut *tables).await?.as_i64();
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

/// A tenant's decisions after the one that ends at `after`, up to `until`: those of at most `limit` events. Of a command with more events
/// than that, only the first ones are included.
pub async fn page(
    tables: &mut PgConnection,
    tenant: TenantId,
    (after, until): (Position, Position),
    limit: u32,
) -> Result<Decisions, sqlx::Error> {
    // One more, for the event at `after` itself.
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
            // The rest of a command that was returned with the page before.
            None if same => {}
            _ => found.decisions.push(begin(row, position)?),
        }
    }
    // The last decision may have more events, so it is left for the next page. If it is the only one, the rest of its events is skipped by
    // the next page.
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
