//! What stands beside a tenant's log and moves with it: decisions about dead letters, jobs, webhooks, and where sagas are.
//!
//! Sagas themselves are events; their rows and timers follow from these in the new cell. Snapshots, parked events and attempts are
//! not taken along: they are made again.

use coordinator::passed_over;
use deadletters::moved::Verdicts;
use deadletters::{Consumer, Kind};
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
    ("webhooks.notices", &[]),
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
    "log.seals",
    "log.snapshots",
    "log.touched",
    "log.trees",
    "dead.attempts",
    // Words about letters, until they are in the old cell's stream.
    "dead.changes",
    "dead.letters",
    "projector.parked_aggregates",
    "projector.parked_events",
    "saga.instances",
    "saga.parked_events",
    // The new cell is told by positions of its own what has yet to be looked at.
    "saga.passed_over",
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

/// Takes along what people decided about dead letters of what is copied already: consumers in the new cell heed it when they try again. Whether
/// a read model has taken an event otherwise before; then it is noted that they are to be built anew.
pub(super) async fn decisions(opening: &mut Opening<'_>, read_models: &[&str]) -> Result<bool, TransferError> {
    let (tenant, copied_to) = (opening.tenant(), opening.copied_to().0);
    // They are only ever added to.
    let there = how_many(opening.connection(), tenant).await?;
    if how_many(opening.old(), tenant).await? == there {
        return Ok(false);
    }
    let consumers: Vec<Consumer> = read_models.iter().map(|name| Consumer::new(Kind::Projection, name)).collect();
    let before = Verdicts::load(opening.connection(), tenant, &consumers).await?;
    // What is not copied yet has no place there.
    let is_copied =
        |row: &mut Map<String, Value>| row.get("position").and_then(Value::as_u64).is_some_and(|at| at <= copied_to);
    opening.table("dead.decisions", &["position"], is_copied).await?;
    let overruled = before.is_overruled(opening.connection(), tenant, &consumers).await?;
    if overruled {
        opening.to_be_built_anew().await?;
    }
    Ok(overruled)
}

async fn how_many(connection: &mut PgConnection, tenant: TenantId) -> Result<i64, sqlx::Error> {
    let count = sqlx::query_scalar("SELECT count(*) FROM dead.decisions WHERE tenant_id = $1");
    count.bind(tenant.uuid()).fetch_one(connection).await
}

/// How far a closed tenant's events were looked at for sagas; none: the service has none.
pub(super) async fn sagas_looked_up_to(
    connection: &mut PgConnection,
    tenant: TenantId,
) -> Result<Option<Position>, sqlx::Error> {
    if !passed_over::is_there(&mut *connection).await? {
        return Ok(None);
    }
    passed_over::looked_up_to(connection, tenant).await.map(Some)
}

/// Lets a paused tenant write again where it is; what was passed over meanwhile is looked at then.
pub(super) async fn resume(connection: &mut PgConnection, tenant: TenantId) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin().await?;
    if passed_over::is_there(&mut *transaction).await? {
        passed_over::adopt(&mut transaction, Some(tenant)).await?;
    }
    transfer::resume(&mut transaction, tenant).await?;
    transaction.commit().await
}

/// Takes everything along. `looked`: how far the old cell had looked for what begins sagas; the new one looks at the rest.
pub(super) async fn carry(opening: &mut Opening<'_>, looked: Option<Position>) -> Result<(), TransferError> {
    for (table, positions) in CARRIED {
        opening
            .table(table, positions, |row| {
                if *table == "jobs.jobs" {
                    lost(row);
                }
                true
            })
            .await?;
    }
    if let Some(looked) = looked {
        let (tenant, after, to) = (opening.tenant(), opening.position(looked), opening.last());
        passed_over::hand_over(opening.connection(), tenant, after, to).await?;
    }
    Ok(())
}

/// Whoever ran a job in the old cell has lost it: in the new one its lease is over, and it is freed there as after a crash. So it is begun
/// again where its checkpoint is, unless somebody cancelled it or its attempts are used up.
fn lost(job: &mut Map<String, Value>) {
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
        lost(&mut job);
        Value::Object(job)
    }

    /// What becomes of it then is decided where jobs of lost workers are freed (`jobs/queue/src/claim.rs`).
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
