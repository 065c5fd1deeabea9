//! Deletes old jobs, and counts the open ones.

use std::collections::HashMap;
use std::time::Duration;

use sqlx::PgPool;

use crate::Jobs;

/// The maximum number of jobs that one statement deletes.
const BATCH: i64 = 500;

/// Deletes jobs, batches and request ids that are older than they are kept.
pub(crate) async fn remove(jobs: &Jobs) -> Result<(), sqlx::Error> {
    let inner = &*jobs.inner;
    let keep = inner.settings.keep;
    remove_of(&inner.work, "state IN ('completed', 'cancelled')", keep).await?;
    remove_of(&inner.work, "state = 'discarded'", inner.settings.keep_discarded).await?;
    let (batches, commands) = (
        "DELETE FROM jobs.batches WHERE finished_at < statement_timestamp() - $1",
        "DELETE FROM jobs.commands WHERE recorded_at < statement_timestamp() - $1",
    );
    sqlx::query(batches).bind(keep).execute(&inner.work).await?;
    sqlx::query(commands).bind(keep).execute(&inner.work).await.map(drop)
}

/// Deletes old jobs that meet a condition; `which` must be the condition of a partial index.
async fn remove_of(pool: &PgPool, which: &str, keep: Duration) -> Result<(), sqlx::Error> {
    loop {
        let removed: i64 = sqlx::query_scalar(&format!(
            "WITH old AS (
                 SELECT tenant_id, job_id FROM jobs.jobs WHERE {which} AND finished_at < statement_timestamp() - $1
                 LIMIT $2 FOR UPDATE SKIP LOCKED),
             l AS (DELETE FROM jobs.lines x USING old WHERE x.tenant_id = old.tenant_id AND x.job_id = old.job_id),
             p AS (DELETE FROM jobs.parts x USING old WHERE x.tenant_id = old.tenant_id AND x.job_id = old.job_id),
             i AS (DELETE FROM jobs.inputs x USING old WHERE x.tenant_id = old.tenant_id AND x.job_id = old.job_id),
             j AS (DELETE FROM jobs.jobs x USING old WHERE x.tenant_id = old.tenant_id AND x.job_id = old.job_id RETURNING 1)
             SELECT count(*) FROM j"
        ))
        .bind(keep)
        .bind(BATCH)
        .fetch_one(pool)
        .await?;
        if removed < BATCH {
            return Ok(());
        }
    }
}

/// Sets the gauges of open jobs, by state.
pub(crate) async fn count(jobs: &Jobs) -> Result<(), sqlx::Error> {
    let inner = &*jobs.inner;
    let counted = open(&inner.work).await?;
    for state in ["waiting", "running"] {
        let count = counted.get(state).copied().unwrap_or_default();
        #[expect(clippy::cast_precision_loss, reason = "a gauge")]
        metrics::gauge!("inopsio_jobs", "service" => inner.service.name(), "state" => state).set(count as f64);
    }
    Ok(())
}

async fn open(pool: &PgPool) -> Result<HashMap<String, i64>, sqlx::Error> {
    let rows: Vec<(String, i64)> = sqlx::query_as(
        "SELECT 'waiting', count(*) FROM jobs.jobs WHERE state = 'waiting'
         UNION ALL SELECT 'running', count(*) FROM jobs.jobs WHERE state = 'running'",
    )
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().collect())
}
