//! How queries read: as one tenant, in one read-only transaction, and not before what the caller wrote is there.

use std::sync::Arc;
use std::time::Duration;

use eventstore::{Database, PoolUse, Role};
use kernel::{Position, TenantId};
use sqlx::PgPool;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::partition::{MAX_PARTITIONS, Partition};
use crate::status::{self, ProjectionStatus};
use crate::{Error, Progress, Projection, tables};

/// A read-only transaction as one tenant; the service's tables are on its search path.
pub type Transaction = sqlx::Transaction<'static, sqlx::Postgres>;

/// Connections that queries share.
const CONNECTIONS: u32 = 16;
/// What is there so soon needs no question whether it is to be waited for.
const SOON: Duration = Duration::from_millis(100);
/// How long one statement of a query may take.
const STATEMENT_TIMEOUT: &str = "10s";
/// How long a transaction may do nothing before the server ends it: if a request is ever forgotten with its transaction open,
/// neither a rebuild's swap nor vacuum waits for it for ever.
const IDLE_TIMEOUT: &str = "60s";

/// A service's read models. Cheap to clone.
#[derive(Clone)]
pub struct ReadModels {
    pool: PgPool,
    schema: String,
    /// Name and version of each projection that the program has.
    projections: Arc<[(&'static str, u32)]>,
    progress: Option<Progress>,
    elsewhere: Arc<Mutex<Looked>>,
}

/// How far the read models were that another process applies, when somebody looked: all who wait look together, so that however many wait,
/// one connection is busy with it.
#[derive(Default)]
struct Looked {
    at: Option<Instant>,
    reached: Vec<Position>,
}

/// The read models have not reached a position in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the read models are at position {reached}, not yet at {wanted}")]
pub struct Behind {
    /// The position that was asked for.
    pub wanted: Position,
    /// The position that all projections have reached for the tenant.
    pub reached: Position,
}

impl ReadModels {
    /// The read models of a service. With the `progress` of a projector in the same process, waiting asks no database.
    pub fn new(database: &Database, projections: &[Arc<dyn Projection>], progress: Option<Progress>) -> Self {
        Self {
            pool: database.pool(Role::Read, CONNECTIONS),
            schema: tables::live_schema(database),
            projections: projections.iter().map(|projection| (projection.name(), projection.version())).collect(),
            progress,
            elsewhere: Arc::default(),
        }
    }

    /// How much of its pool is in use.
    pub fn pool(&self) -> PoolUse {
        PoolUse::of("query", &self.pool)
    }

    /// Begins a read-only transaction as `tenant`, on one snapshot, in one round trip. A rebuild waits for it before it swaps
    /// tables, so keep it no longer than a request.
    pub async fn begin(&self, tenant: TenantId) -> Result<Transaction, Error> {
        let begin = format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL search_path = {};
             SET LOCAL app.tenant_id = '{tenant}'; SET LOCAL statement_timeout = '{STATEMENT_TIMEOUT}';
             SET LOCAL idle_in_transaction_session_timeout = '{IDLE_TIMEOUT}';
             LOCK TABLE projector.swaps IN ACCESS SHARE MODE",
            self.schema
        );
        Ok(eventstore::database::begin(&self.pool, &begin).await?)
    }

    /// Where the log ends now, for [`wait_for`](Self::wait_for): what is there by then is in the read models afterwards.
    pub async fn head(&self, tenant: TenantId) -> Result<Position, Error> {
        let mut transaction = eventstore::database::begin_as(&self.pool, tenant).await?;
        let head: i64 = sqlx::query_scalar("SELECT position FROM log.head").fetch_one(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(Position::from_i64(head))
    }

    /// Waits until every projection has applied everything of a tenant up to `position`.
    pub async fn wait_for(&self, tenant: TenantId, position: Position, timeout: Duration) -> Result<(), Behind> {
        if position == Position::START {
            return Ok(());
        }
        let deadline = Instant::now() + timeout;
        let mut reached = Position::START;
        let soon = deadline.min(Instant::now() + SOON);
        if tokio::time::timeout_at(soon, self.wait(tenant, position, &mut reached)).await.is_ok() {
            return Ok(());
        }
        // A position of another cell, in which the tenant lived before: all that it stands for is within what there is here.
        let wanted = match self.end_for_who_came(tenant).await {
            Ok(Some(end)) => position.min(end),
            Ok(None) | Err(_) => position,
        };
        let waited = tokio::time::timeout_at(deadline, self.wait(tenant, wanted, &mut reached)).await;
        waited.map_err(|_| Behind { wanted: position, reached })
    }

    /// Where the log ends, if the tenant came here from another cell.
    async fn end_for_who_came(&self, tenant: TenantId) -> Result<Option<Position>, sqlx::Error> {
        let mut transaction = eventstore::database::begin_as(&self.pool, tenant).await?;
        let end: Option<i64> = sqlx::query_scalar(
            "SELECT position FROM log.head WHERE EXISTS (SELECT FROM log.copied WHERE tenant_id = $1 AND moved)",
        )
        .bind(tenant.uuid())
        .fetch_optional(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(end.map(Position::from_i64))
    }

    async fn wait(&self, tenant: TenantId, position: Position, reached: &mut Position) {
        let mut progress = self.progress.clone();
        let mut pause = Duration::from_millis(2);
        loop {
            if let Some(progress) = &mut progress
                && let Some(here) = progress.reached(tenant)
            {
                *reached = here;
                if here >= position {
                    return;
                }
                progress.changed().await;
                continue;
            }
            // Another process applies, or none; the checkpoints tell. A failure here is waited out like the rest.
            if let Ok(stored) = self.stored(tenant).await {
                *reached = stored;
                if stored >= position {
                    return;
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(50));
        }
    }

    /// How far the checkpoints are for a tenant, now or a moment later.
    async fn stored(&self, tenant: TenantId) -> Result<Position, sqlx::Error> {
        let asked = Instant::now();
        let mut looked = self.elsewhere.lock().await;
        if looked.at.is_none_or(|at| at < asked) {
            let began = Instant::now();
            looked.reached = status::reached(&self.pool, &self.projections).await?;
            looked.at = Some(began);
        }
        // As among the most partitions; among fewer it is told by the last bits of that.
        let partition = Partition::of_tenant(tenant.uuid(), MAX_PARTITIONS).index();
        Ok(looked.reached.get(partition).copied().unwrap_or(Position::START))
    }

    /// How the projections are doing, each partition by itself, in the order of the program's list.
    pub async fn status(&self) -> Result<Vec<ProjectionStatus>, Error> {
        Ok(status::status(&self.pool, &self.projections, self.progress.as_ref()).await?)
    }
}
