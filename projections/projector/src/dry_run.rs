//! Dry runs of dead letters: their events are applied to the live tables in a transaction that is rolled back.

use std::sync::Arc;
use std::time::Duration;

use deadletters::{Consumer, Decisions, DryRun, Kind};
use eventstore::{Database, Role};
use kernel::{RecordedEvent, TenantId};
use sqlx::PgPool;

use crate::{BoxFuture, Projection, retrying, tables};

/// The size of the connection pool for dry runs.
const CONNECTIONS: u32 = 2;
/// The longest time of a dry run. For so long it may lock the rows that it changes.
const PATIENCE: Duration = Duration::from_secs(5);

/// Tries, without an effect, what parked events would do to a service's read models.
pub struct ProjectionDryRun {
    pool: PgPool,
    schema: String,
    projections: Vec<Arc<dyn Projection>>,
}

impl ProjectionDryRun {
    /// Uses the live tables of these projections. It connects to the database when first used.
    pub fn new(database: &Database, projections: Vec<Arc<dyn Projection>>) -> Self {
        let pool = database.pool(Role::Project, CONNECTIONS);
        Self { pool, schema: tables::live_schema(database), projections }
    }

    async fn dry_run(
        &self,
        consumer: &Consumer,
        tenant: TenantId,
        events: Vec<RecordedEvent>,
        decisions: &Decisions,
    ) -> Result<deadletters::DryRunResult, String> {
        let Some(projection) = self.projections.iter().find(|known| known.name() == consumer.name()) else {
            return Err(format!("this program has no projection {}", consumer.name()));
        };
        let all: Vec<_> = events.iter().map(|event| event.position).collect();
        // The events' tenants decide which rows can be changed, so all must be of this tenant.
        if events.iter().any(|event| event.tenant != tenant) {
            return Err("the events are of several tenants".to_owned());
        }
        let busy = |error: sqlx::Error| format!("the read model can't be tried now: {error}");
        // The lock timeout is short, because the live projection writes the same rows meanwhile.
        let begin = "BEGIN; SET LOCAL statement_timeout = '4s'; SET LOCAL lock_timeout = '1s'";
        let mut transaction = self.pool.begin_with(begin).await.map_err(busy)?;
        let failed =
            retrying::attempt(&**projection, &self.schema, events, decisions, &mut transaction).await.map_err(busy)?;
        transaction.rollback().await.map_err(busy)?;
        let taken = all.iter().take_while(|at| failed.as_ref().is_none_or(|(until, _)| **at < *until)).count();
        Ok(deadletters::DryRunResult { taken: taken as u64, failed })
    }
}

impl DryRun for ProjectionDryRun {
    fn kind(&self) -> Kind {
        Kind::Projection
    }

    fn dry_run<'a>(
        &'a self,
        consumer: &'a Consumer,
        tenant: TenantId,
        events: Vec<RecordedEvent>,
        decisions: Decisions,
    ) -> BoxFuture<'a, Result<deadletters::DryRunResult, String>> {
        Box::pin(async move {
            // At the timeout the transaction is dropped, which rolls it back.
            let result = tokio::time::timeout(PATIENCE, self.dry_run(consumer, tenant, events, &decisions)).await;
            result.unwrap_or_else(|_| Err(format!("the read model did not answer within {} s", PATIENCE.as_secs())))
        })
    }
}
