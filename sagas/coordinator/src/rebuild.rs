//! Rebuilds the rows of one tenant's instances from their streams.

use chrono::{DateTime, Utc};
use eventstore::{Database, EventStore, ReplayFilter, Role};
use futures::TryStreamExt;
use kernel::{Position, TenantId};

use crate::Error;
use crate::repository::Repository;
use crate::rows::{self, InstanceKey};
use crate::sagas::Sagas;

/// Writes the row of each of a tenant's instances from its stream, and returns their number. For a tenant that returns to a cell where its
/// rows were purged. The checkpoint does not move: if it were set back, the sagas of all tenants would evaluate old events again, perhaps
/// with another result, because they read today's state. Safe to run again, and beside a coordinator.
///
/// # Errors
/// The log or the tables don't answer, or a stream can't be read.
pub async fn rebuild_instances(
    database: &Database,
    store: &EventStore,
    repository: &dyn Repository,
    tenant: TenantId,
    now: DateTime<Utc>,
) -> Result<u64, Error> {
    let copied = store.copied(&[tenant.uuid()]).await?;
    let writer = Sagas::writer(tenant, "coordinator", repository);
    let pool = database.pool(Role::Project, 1);
    let filter =
        ReplayFilter { aggregate_type: Some(repository.aggregate_type().to_owned()), ..ReplayFilter::default() };
    let mut begun = std::pin::pin!(store.replay(tenant, filter).try_filter_map(async |event| {
        let ours = event.sequence == 1 && !copied.is_of_another(&event);
        Ok(event.aggregate_id.parse().ok().filter(|_| ours).map(|id| InstanceKey { tenant, id }))
    }));
    let mut written = 0;
    while let Some(key) = begun.try_next().await? {
        let Some(state) = repository.load(&writer, key.id).await? else { continue };
        // An event that wakes it may have come while it had no row, so it is due at once.
        let wake_at = state.wake_at(now).map(|at| at.min(now));
        rows::write(&mut *pool.acquire().await?, key, &state, wake_at, Position::START, now).await?;
        written += 1;
    }
    pool.close().await;
    Ok(written)
}
