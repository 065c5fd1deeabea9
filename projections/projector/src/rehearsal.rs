//! What would come of a dead letter: applied to the live tables in a transaction that is taken back.

use std::sync::Arc;
use std::time::Duration;

use deadletters::{Consumer, Decisions, Kind, Rehearse};
use eventstore::{Database, Role};
use kernel::{RecordedEvent, TenantId};
use sqlx::PgPool;

use crate::{BoxFuture, Projection, retrying, tables};

/// Connections of those who rehearse.
const CONNECTIONS: u32 = 2;
/// How long it may take, and hold the rows that it touches.
const PATIENCE: Duration = Duration::from_secs(5);

/// Rehearses what parked events would do to a service's read models.
pub struct Rehearsal {
    pool: PgPool,
    schema: String,
    projections: Vec<Arc<dyn Projection>>,
}

impl Rehearsal {
    /// Over the live tables of these projections; connects when first used.
    pub fn new(database: &Database, projections: Vec<Arc<dyn Projection>>) -> Self {
        let pool = database.pool(Role::Project, CONNECTIONS);
        Self { pool, schema: tables::live_schema(database), projections }
    }

    async fn rehearse(
        &self,
        consumer: &Consumer,
        tenant: TenantId,
        events: Vec<RecordedEvent>,
        decisions: &Decisions,
    ) -> Result<deadletters::Rehearsal, String> {
        let Some(projection) = self.projections.iter().find(|known| known.name() == consumer.name()) else {
            return Err(format!("this program has no projection {}", consumer.name()));
        };
        let all: Vec<_> = events.iter().map(|event| event.position).collect();
        // Only this tenant's rows can be touched, whatever the events say.
        if events.iter().any(|event| event.tenant != tenant) {
            return Err("the events are of several tenants".to_owned());
        }
        let busy = |error: sqlx::Error| format!("the read model can't be tried now: {error}");
        // Rows of others are waited for only briefly: the projection goes on meanwhile.
        let begin = "BEGIN; SET LOCAL statement_timeout = '4s'; SET LOCAL lock_timeout = '1s'";
        let mut transaction = self.pool.begin_with(begin).await.map_err(busy)?;
        let failed =
            retrying::attempt(&**projection, &self.schema, events, decisions, &mut transaction).await.map_err(busy)?;
        transaction.rollback().await.map_err(busy)?;
        let taken = all.iter().take_while(|at| failed.as_ref().is_none_or(|(until, _)| **at < *until)).count();
        Ok(deadletters::Rehearsal { taken: taken as u64, failed })
    }
}

impl Rehearse for Rehearsal {
    fn kind(&self) -> Kind {
        Kind::Projection
    }

    fn rehearse<'a>(
        &'a self,
        consumer: &'a Consumer,
        tenant: TenantId,
        events: Vec<RecordedEvent>,
        decisions: Decisions,
    ) -> BoxFuture<'a, Result<deadletters::Rehearsal, String>> {
        Box::pin(async move {
            // Dropped halfway, the connection takes everything back.
            let rehearsed = tokio::time::timeout(PATIENCE, self.rehearse(consumer, tenant, events, &decisions)).await;
            rehearsed.unwrap_or_else(|_| Err(format!("the read model did not answer within {} s", PATIENCE.as_secs())))
        })
    }
}
