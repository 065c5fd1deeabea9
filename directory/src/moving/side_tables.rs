//! The tables beside a tenant's log that move with it: decisions about dead letters, jobs, webhooks, and how far sagas have read.
//!
//! Sagas themselves are events; their rows and timers are rebuilt from these in the new cell. Snapshots, parked events and attempts are not
//! moved, because they are made again.

use coordinator::skipped;
use deadletters::moved::Verdicts;
use deadletters::{Consumer, Kind};
use eventstore::transfer::{self, Opening, TransferError};
use kernel::{Position, TenantId};
use serde_json::{Map, Value};
use sqlx::{Connection, PgConnection};

/// The tables that are copied, each with its columns that are positions, which are translated to those of the new cell.
pub const COPIED_TABLES: &[(&str, &[&str])] = &[
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
    ("webhooks.notices", &[]),
];

/// The tables that are not copied as they are: those of the log (`eventstore::transfer` copies the tenant's part), and those that follow
/// from events in the new cell. Read models, in the schema of their service, follow from events, too. A test finds tables with tenants'
/// data that are in neither list.
pub const NOT_COPIED_TABLES: &[&str] = &[
    "log.archived",
    "log.claims",
    "log.closed",
    "log.commands",
    "log.copied",
    "log.events",
    "log.seals",
    "log.snapshots",
    "log.touched",
    "log.trees",
    "dead.attempts",
    // Messages about dead letters that are not yet in the old cell's stream.
    "dead.changes",
    "dead.letters",
    "projector.parked_aggregates",
    "projector.parked_events",
    "saga.instances",
    "saga.parked_events",
    // `skipped::hand_over` writes it with the new cell's positions.
    "saga.passed_over",
];

/// The reason why a tenant can't be moved now; `None` if it can.
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

/// Copies operators' decisions about dead letters among the copied events. Consumers in the new cell apply them at their next attempt.
/// Returns whether a read model there has applied an event without its decision before; then it also records that the read models must be
/// rebuilt.
pub(super) async fn copy_decisions(opening: &mut Opening<'_>, read_models: &[&str]) -> Result<bool, TransferError> {
    let (tenant, copied_to) = (opening.tenant(), opening.copied_to().0);
    // Decisions are only added, so equal numbers mean that there are no new ones.
    let there = count_decisions(opening.connection(), tenant).await?;
    if count_decisions(opening.old(), tenant).await? == there {
        return Ok(false);
    }
    let consumers: Vec<Consumer> = read_models.iter().map(|name| Consumer::new(Kind::Projection, name)).collect();
    let before = Verdicts::load(opening.connection(), tenant, &consumers).await?;
    // Decisions about events that are not copied yet have no position in the new cell.
    let is_copied =
        |row: &mut Map<String, Value>| row.get("position").and_then(Value::as_u64).is_some_and(|at| at <= copied_to);
    opening.table("dead.decisions", &["position"], is_copied).await?;
    let overruled = before.is_overruled(opening.connection(), tenant, &consumers).await?;
    if overruled {
        opening.require_rebuild().await?;
    }
    Ok(overruled)
}

async fn count_decisions(connection: &mut PgConnection, tenant: TenantId) -> Result<i64, sqlx::Error> {
    let count = sqlx::query_scalar("SELECT count(*) FROM dead.decisions WHERE tenant_id = $1");
    count.bind(tenant.uuid()).fetch_one(connection).await
}

/// Up to which position sagas have read a closed tenant's events; `None` if the service has no sagas.
pub(super) async fn sagas_processed_up_to(
    connection: &mut PgConnection,
    tenant: TenantId,
) -> Result<Option<Position>, sqlx::Error> {
    if !skipped::is_there(&mut *connection).await? {
        return Ok(None);
    }
    skipped::processed_up_to(connection, tenant).await.map(Some)
}

/// Ends the pause of a tenant in its old cell. Sagas then read the events that they passed over meanwhile.
pub(super) async fn resume(connection: &mut PgConnection, tenant: TenantId) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin().await?;
    if skipped::is_there(&mut *transaction).await? {
        skipped::adopt(&mut transaction, Some(tenant)).await?;
    }
    transfer::resume(&mut transaction, tenant).await?;
    transaction.commit().await
}

/// Copies all tables of [`COPIED_TABLES`]. `processed` is the position up to which the old cell's sagas have processed events; the new
/// cell's sagas process the rest.
pub(super) async fn copy_tables(opening: &mut Opening<'_>, processed: Option<Position>) -> Result<(), TransferError> {
    for (table, positions) in COPIED_TABLES {
        opening
            .table(table, positions, |row| {
                if *table == "jobs.jobs" {
                    expire_lease(row);
                }
                true
            })
            .await?;
    }
    if let Some(processed) = processed {
        let (tenant, after, to) = (opening.tenant(), opening.position(processed), opening.last());
        skipped::hand_over(opening.connection(), tenant, after, to).await?;
    }
    Ok(())
}

/// Expires the lease of a running job, because its worker is in the old cell. In the new cell the job is released as after a crash: it
/// starts again from its checkpoint, unless it was cancelled or its attempts are used up.
fn expire_lease(job: &mut Map<String, Value>) {
    if job.get("state").is_some_and(|state| state == "running") {
        job.insert("leased_until".to_owned(), "1970-01-01T00:00:00+00:00".into());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A job's row in the new cell.
    fn moved(job: Value) -> Value {
        let Value::Object(mut job) = job else { panic!("{job}") };
        expire_lease(&mut job);
        Value::Object(job)
    }

    /// What happens to the job then is decided where jobs of lost workers are released (`jobs/queue/src/claim.rs`).
    #[test]
    fn a_job_that_ran_has_lost_its_worker_and_is_not_begun_as_if_it_waited() {
        for cancelled in [json!(null), json!("2026-11-27T03:00:00+00:00")] {
            let job = |until: &str| {
                json!({ "state": "running", "attempt": 5, "max_attempts": 5, "lease": "0197a8a0-0000-7000-8000-000000000001",
                    "leased_until": until, "cancel_requested_at": cancelled })
            };
            assert_eq!(moved(job("2026-11-27T04:00:00+00:00")), job("1970-01-01T00:00:00+00:00"));
        }
        for state in ["waiting", "completed"] {
            let job = json!({ "state": state, "attempt": 1, "lease": null, "leased_until": null });
            assert_eq!(moved(job.clone()), job);
        }
    }
}
