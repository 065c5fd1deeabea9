//! What stands beside a tenant's log and moves with it: decisions about dead letters, jobs, webhooks, and where sagas are.
//!
//! Sagas themselves are events; their rows and timers follow from these in the new cell. Snapshots, parked events and attempts are
//! not taken along: they are made again.

use eventstore::transfer::{self, Opening, TransferError};
use kernel::{Position, TenantId};
use serde_json::{Map, Value};
use sqlx::{Connection, PgConnection};

/// What goes along: a table, and which of its columns are positions.
pub const CARRIED: &[(&str, &[&str])] = &[
    ("dead.decisions", &["position"]),
    ("dead.commands", &[]),
    ("jobs.jobs", &[]),
    ("jobs.turns", &[]),
    ("jobs.lines", &[]),
    ("jobs.parts", &[]),
    ("jobs.inputs", &[]),
    ("jobs.commands", &[]),
    ("jobs.queues", &[]),
    ("jobs.schedules", &[]),
    ("jobs.batches", &[]),
    ("webhooks.endpoints", &[]),
    ("webhooks.cursors", &["position"]),
    ("webhooks.deliveries", &["position"]),
    ("webhooks.changes", &[]),
    ("webhooks.commands", &[]),
];

/// What does not go along as it is: the log's own (`eventstore::transfer` copies what of it is the tenant's), and what follows from
/// events in the new cell. Read models, in the schema of their service, follow from events, too. A test finds a table of tenants that
/// stands in neither list.
pub const MADE_AGAIN: &[&str] = &[
    "log.archived",
    "log.claims",
    "log.closed",
    "log.commands",
    "log.copied",
    "log.events",
    "log.snapshots",
    "log.touched",
    "dead.attempts",
    // Words about letters, until they are in the old cell's stream.
    "dead.changes",
    "dead.letters",
    "projector.parked_aggregates",
    "projector.parked_events",
    "saga.instances",
    "saga.parked_events",
];

/// Why a tenant can't be moved now; none: it can.
pub(super) async fn unsettled(connection: &mut PgConnection, tenant: TenantId) -> Result<Option<String>, sqlx::Error> {
    let letters: i64 =
        sqlx::query_scalar("SELECT count(*) FROM dead.letters WHERE tenant_id = $1 AND state IN ('parked', 'waiting')")
            .bind(tenant.uuid())
            .fetch_one(connection)
            .await?;
    Ok((letters > 0).then(|| {
        format!("{letters} events of the tenant are dead letters; redrive or discard them first (inopsio dlq)")
    }))
}

/// Takes along what people decided about dead letters: consumers in the new cell heed it when they try again.
pub(super) async fn decisions(opening: &mut Opening<'_>) -> Result<(), TransferError> {
    opening.table("dead.decisions", &["position"], |_| {}).await?;
    Ok(())
}

/// How far a closed tenant's events were looked at for sagas; none: the service has none. What the coordinator passes over it notes
/// with its checkpoint, so this is right whenever it is asked.
pub(super) async fn sagas_looked_up_to(
    connection: &mut PgConnection,
    tenant: TenantId,
) -> Result<Option<Position>, sqlx::Error> {
    if !has_sagas(connection).await? {
        return Ok(None);
    }
    let position: i64 = sqlx::query_scalar(
        "SELECT least(position, (SELECT looked FROM log.closed WHERE tenant_id = $1)) FROM saga.checkpoint",
    )
    .bind(tenant.uuid())
    .fetch_one(connection)
    .await?;
    Ok(Some(Position::from_i64(position)))
}

/// Lets a paused tenant write again where it is; what was passed over meanwhile is looked at again.
pub(super) async fn resume(connection: &mut PgConnection, tenant: TenantId) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin().await?;
    if has_sagas(&mut transaction).await? {
        sqlx::query(
            "UPDATE saga.checkpoint SET position = least(position, c.looked)
             FROM log.closed c WHERE c.tenant_id = $1 AND c.state = 'paused' AND c.looked IS NOT NULL",
        )
        .bind(tenant.uuid())
        .execute(&mut *transaction)
        .await?;
    }
    transfer::resume(&mut transaction, tenant).await?;
    transaction.commit().await
}

async fn has_sagas(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("SELECT to_regclass('saga.checkpoint') IS NOT NULL").fetch_one(connection).await
}

/// Takes everything along. `looked`: how far the old cell had looked for what begins sagas; the new one looks at the rest.
pub(super) async fn carry(opening: &mut Opening<'_>, looked: Option<Position>) -> Result<(), TransferError> {
    for (table, positions) in CARRIED {
        opening
            .table(table, positions, |row| {
                if *table == "jobs.jobs" {
                    at_rest(row);
                }
            })
            .await?;
    }
    let Some(looked) = looked.map(|old| opening.position(old)) else { return Ok(()) };
    opening.acted_upon(looked).await?;
    if has_sagas(opening.connection()).await? {
        // As after a crash: what was looked at before is there and is not done twice.
        sqlx::query("UPDATE saga.checkpoint SET position = least(position, $1)")
            .bind(looked.as_i64())
            .execute(opening.connection())
            .await?;
    }
    Ok(())
}

/// Whoever ran a job in the old cell has lost it: it is begun again, where its checkpoint is.
fn at_rest(job: &mut Map<String, Value>) {
    if job.get("state").is_some_and(|state| state == "running") {
        job.insert("state".to_owned(), "waiting".into());
        for lost in ["lease", "leased_until"] {
            job.insert(lost.to_owned(), Value::Null);
        }
    }
}
