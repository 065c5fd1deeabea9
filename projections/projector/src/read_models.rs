//! Access of queries to the read models: as one tenant, in one read-only transaction, and at a position if the caller asks for it (read your
//! writes).

use std::sync::Arc;
use std::time::Duration;

use eventstore::{Database, PoolUse, Role};
use kernel::{Backoff, Position, TenantId};
use sqlx::PgPool;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::partition::{MAX_PARTITIONS, Partition};
use crate::status::{self, ProjectionStatus};
use crate::{Error, Progress, Projection, tables};

/// A read-only transaction of one tenant, with the service's tables on its search path.
pub type Transaction = sqlx::Transaction<'static, sqlx::Postgres>;

/// The size of the queries' connection pool.
const CONNECTIONS: u32 = 16;
/// How long to wait before asking whether the position is one of the tenant's former cell.
const SOON: Duration = Duration::from_millis(100);
/// The pauses between the queries for the checkpoints that another process stores.
const POLL: Backoff = Backoff { first: Duration::from_millis(2), longest: Duration::from_millis(50) };
/// The pauses before a transaction is begun again that did not see what was visible before.
const TAKEN_BACK: Backoff = Backoff { first: Duration::from_millis(20), longest: Duration::from_millis(160) };
/// How long one statement of a query may take.
const STATEMENT_TIMEOUT: &str = "10s";
/// How long a transaction may be idle before the server ends it. If a transaction is ever left open by mistake, a rebuild's swap and vacuum
/// do not wait for it for ever.
const IDLE_TIMEOUT: &str = "60s";

/// A service's read models. Cheap to clone.
#[derive(Clone)]
pub struct ReadModels {
    pool: PgPool,
    schema: String,
    /// The name and version of each projection of the program.
    projections: Arc<[(&'static str, u32)]>,
    progress: Option<Progress>,
    checkpoints: Arc<Mutex<StoredCheckpoints>>,
}

/// The result of the last query for checkpoints, for read models that another process applies. All waiting requests share it, so that one
/// connection is enough for any number of them.
#[derive(Default)]
struct StoredCheckpoints {
    /// When the query began.
    queried_at: Option<Instant>,
    /// The position that all projections have reached, for each of [`MAX_PARTITIONS`] partitions of the tenants.
    reached: Vec<Position>,
}

/// The read models did not reach a position before the timeout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the read models are at position {reached}, not yet at {wanted}")]
pub struct CatchUpTimeout {
    /// The position that was waited for.
    pub wanted: Position,
    /// The position that all projections have reached for the tenant.
    pub reached: Position,
}

/// A transaction at a position could not be begun.
#[derive(Debug, thiserror::Error)]
pub enum BeginError {
    /// The read models did not reach the position in time.
    #[error(transparent)]
    Behind(#[from] CatchUpTimeout),
    /// The read models can't be read.
    #[error(transparent)]
    Unreadable(#[from] Error),
}

impl From<sqlx::Error> for BeginError {
    fn from(error: sqlx::Error) -> Self {
        Self::Unreadable(error.into())
    }
}

impl ReadModels {
    /// The read models of a service. With the `progress` of a projector in the same process, waiting does not query the database.
    pub fn new(database: &Database, projections: &[Arc<dyn Projection>], progress: Option<Progress>) -> Self {
        Self {
            pool: database.pool(Role::Read, CONNECTIONS),
            schema: tables::live_schema(database),
            projections: projections.iter().map(|projection| (projection.name(), projection.version())).collect(),
            progress,
            checkpoints: Arc::default(),
        }
    }

    /// The use of the connection pool.
    pub fn pool(&self) -> PoolUse {
        PoolUse::of("query", &self.pool)
    }

    /// Begins a read-only transaction as `tenant`, on one snapshot, in one round trip. A rebuild waits for its end before it swaps tables,
    /// so do not keep it longer than a request.
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

    /// Begins a transaction as [`begin`](Self::begin) does, whose snapshot contains the effect of the tenant's events up to `position`.
    /// Waits for it for at most `timeout`.
    ///
    /// The transactions of projections do not wait for the disk, so a crash of Postgres can take back what was visible a moment ago; it is
    /// applied again soon. Until the workers notice, the positions in memory are too high. So the checkpoints of the snapshot are compared
    /// with them.
    pub async fn begin_at(
        &self,
        tenant: TenantId,
        position: Position,
        timeout: Duration,
    ) -> Result<Transaction, BeginError> {
        if position == Position::START {
            return Ok(self.begin(tenant).await?);
        }
        let deadline = Instant::now() + timeout;
        let mut pause = TAKEN_BACK.first;
        loop {
            let expected = self.visible(tenant, position, deadline).await?;
            let mut transaction = self.begin(tenant).await?;
            let partition = Partition::of_tenant(tenant.uuid(), MAX_PARTITIONS);
            let Some(reached) = status::taken_back(&mut transaction, partition, &expected).await? else {
                return Ok(transaction);
            };
            transaction.rollback().await?;
            tracing::debug!(%position, %reached, "Postgres lost what projections had written; waiting until it is applied again");
            if Instant::now() + pause >= deadline {
                return Err(CatchUpTimeout { wanted: position, reached }.into());
            }
            tokio::time::sleep(pause).await;
            pause = TAKEN_BACK.after(pause);
        }
    }

    /// The position of the log's last event. A transaction [at](Self::begin_at) this position sees all events up to it.
    pub async fn head(&self, tenant: TenantId) -> Result<Position, Error> {
        let mut transaction = eventstore::database::begin_as(&self.pool, tenant).await?;
        let head = eventstore::head_in(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(head)
    }

    /// Waits until every projection has applied the tenant's events up to `position`. To read them, use [`begin_at`](Self::begin_at).
    pub async fn wait_for(
        &self,
        tenant: TenantId,
        position: Position,
        timeout: Duration,
    ) -> Result<(), CatchUpTimeout> {
        if position == Position::START {
            return Ok(());
        }
        self.visible(tenant, position, Instant::now() + timeout).await.map(drop)
    }

    /// Waits until every projection has applied the tenant's events up to `position`. Returns the checkpoints that projections must have
    /// stored for it.
    async fn visible(
        &self,
        tenant: TenantId,
        position: Position,
        deadline: Instant,
    ) -> Result<Vec<(&'static str, Position)>, CatchUpTimeout> {
        let mut reached = Position::START;
        let soon = deadline.min(Instant::now() + SOON);
        if let Ok(checkpoints) = tokio::time::timeout_at(soon, self.wait(tenant, position, &mut reached)).await {
            return Ok(checkpoints);
        }
        // The position may come from the tenant's former cell and be beyond this log's end. All events up to it were copied here, so
        // waiting for the end of this log is enough.
        let wanted = match self.head_if_moved_here(tenant).await {
            Ok(Some(end)) => position.min(end),
            Ok(None) | Err(_) => position,
        };
        let waited = tokio::time::timeout_at(deadline, self.wait(tenant, wanted, &mut reached)).await;
        waited.map_err(|_| CatchUpTimeout { wanted: position, reached })
    }

    /// The position of the log's last event, if the tenant was moved here from another cell.
    async fn head_if_moved_here(&self, tenant: TenantId) -> Result<Option<Position>, sqlx::Error> {
        let mut transaction = eventstore::database::begin_as(&self.pool, tenant).await?;
        let end: Option<i64> = sqlx::query_scalar(concat!(
            "SELECT h.position FROM ",
            eventstore::log_head!(),
            " WHERE EXISTS (SELECT FROM log.copied WHERE tenant_id = $1 AND moved)"
        ))
        .bind(tenant.uuid())
        .fetch_optional(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(end.map(Position::from_i64))
    }

    /// As [`visible`](Self::visible) without a timeout; `reached` is kept up to date meanwhile.
    async fn wait(
        &self,
        tenant: TenantId,
        position: Position,
        reached: &mut Position,
    ) -> Vec<(&'static str, Position)> {
        let mut progress = self.progress.clone();
        let mut pause = POLL.first;
        loop {
            if let Some(progress) = &mut progress
                && let Some(here) = progress.reached(tenant)
            {
                *reached = here;
                if let Some(checkpoints) = progress.checkpoints_at(tenant, position) {
                    return checkpoints;
                }
                progress.changed().await;
                continue;
            }
            // Another process applies the tenant's events, or none does: query the checkpoints. After an error the query is repeated, too.
            if let Ok(stored) = self.stored(tenant).await {
                *reached = stored;
                if stored >= position {
                    return self.projections.iter().map(|(name, _)| (*name, position)).collect();
                }
            }
            tokio::time::sleep(pause).await;
            pause = POLL.after(pause);
        }
    }

    /// The position that the stored checkpoints have reached for a tenant, queried after this call began.
    async fn stored(&self, tenant: TenantId) -> Result<Position, sqlx::Error> {
        let asked = Instant::now();
        let mut checkpoints = self.checkpoints.lock().await;
        if checkpoints.queried_at.is_none_or(|at| at < asked) {
            let began = Instant::now();
            checkpoints.reached = status::reached(&self.pool, &self.projections).await?;
            checkpoints.queried_at = Some(began);
        }
        // The positions are listed for the largest number of partitions, whatever the actual number is.
        let partition = Partition::of_tenant(tenant.uuid(), MAX_PARTITIONS).index();
        Ok(checkpoints.reached.get(partition).copied().unwrap_or(Position::START))
    }

    /// The status of each partition of the projections, in the order of the program's list.
    pub async fn status(&self) -> Result<Vec<ProjectionStatus>, Error> {
        Ok(status::status(&self.pool, &self.projections, self.progress.as_ref()).await?)
    }
}
