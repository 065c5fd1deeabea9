//! Replaying a tenant's history.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures::{Stream, StreamExt, TryStreamExt, stream};
use kernel::{Position, RecordedEvent, TenantId};
use sqlx::postgres::{PgPool, Postgres};
use sqlx::{QueryBuilder, Row};

use crate::Error;
use crate::read::{columns, event, head, patiently};

/// Events of one round trip.
const PAGE: i64 = 5_000;

/// Which events of a tenant's history are wanted; what is not set does not restrict.
#[derive(Clone, Debug, Default)]
pub struct ReplayFilter {
    /// `service.aggregate`.
    pub aggregate_type: Option<String>,
    /// The aggregate's id.
    pub aggregate_id: Option<String>,
    /// Wire name of the event.
    pub event_type: Option<String>,
    /// Recorded at this time or later.
    pub recorded_from: Option<DateTime<Utc>>,
    /// Recorded before this time.
    pub recorded_until: Option<DateTime<Utc>>,
    /// Occurred at this time or later.
    pub occurred_from: Option<DateTime<Utc>>,
    /// Occurred before this time.
    pub occurred_until: Option<DateTime<Utc>>,
    /// At positions after this one.
    pub after: Position,
    /// Up to this position, inclusive; the log's head when the replay begins unless given.
    pub to: Option<Position>,
}

impl ReplayFilter {
    /// Adds the filter to a statement that ends in `WHERE true`-like conditions.
    fn restrict<'a>(&'a self, query: &mut QueryBuilder<'a, Postgres>) {
        let texts = [
            (" AND aggregate_type = ", &self.aggregate_type),
            (" AND aggregate_id = ", &self.aggregate_id),
            (" AND event_type = ", &self.event_type),
        ];
        for (condition, value) in texts {
            if let Some(value) = value {
                query.push(condition).push_bind(value);
            }
        }
        let times = [
            (" AND recorded_at >= ", self.recorded_from),
            (" AND recorded_at < ", self.recorded_until),
            (" AND occurred_at >= ", self.occurred_from),
            (" AND occurred_at < ", self.occurred_until),
        ];
        for (condition, value) in times {
            if let Some(value) = value {
                query.push(condition).push_bind(value);
            }
        }
    }
}

/// How many events a replay gives.
pub(crate) async fn count(pool: &PgPool, tenant: TenantId, filter: &ReplayFilter) -> Result<u64, Error> {
    let to = end(pool, filter).await?;
    patiently(|| async move {
        let mut transaction = pool.begin().await?;
        set_tenant(&mut transaction, tenant).await?;
        let mut query = QueryBuilder::new("SELECT count(*) FROM log.events WHERE tenant_id = ");
        query.push_bind(tenant.uuid());
        query.push(" AND position > ").push_bind(filter.after.as_i64());
        query.push(" AND position <= ").push_bind(to.as_i64());
        filter.restrict(&mut query);
        let count: i64 = query.build().fetch_one(&mut *transaction).await?.try_get(0)?;
        transaction.commit().await?;
        Ok(count.cast_unsigned())
    })
    .await
}

/// A tenant's events by position, up to where the log ends now: it only grows at its end, so its beginning up to a position
/// is one consistent snapshot however long the reading takes. No transaction is held open meanwhile. The next page is read
/// while the last is used.
pub(crate) fn replay(
    pool: PgPool,
    tenant: TenantId,
    filter: ReplayFilter,
) -> impl Stream<Item = Result<RecordedEvent, Error>> + Send + use<> {
    let filter = Arc::new(filter);
    let begin = Cursor { after: filter.after, to: None, ended: false };
    let pages = stream::try_unfold(begin, move |cursor| next_page(pool.clone(), tenant, Arc::clone(&filter), cursor));
    ahead(pages).map_ok(|page| stream::iter(page.into_iter().map(Ok))).try_flatten()
}

/// Where a replay is.
struct Cursor {
    after: Position,
    /// Where it ends: known once it has begun.
    to: Option<Position>,
    ended: bool,
}

async fn next_page(
    pool: PgPool,
    tenant: TenantId,
    filter: Arc<ReplayFilter>,
    cursor: Cursor,
) -> Result<Option<(Vec<RecordedEvent>, Cursor)>, Error> {
    if cursor.ended {
        return Ok(None);
    }
    let to = match cursor.to {
        Some(to) => to,
        None => end(&pool, &filter).await?,
    };
    let page = patiently(|| page(&pool, tenant, &filter, cursor.after, to)).await?;
    let ended = (page.len() as i64) < PAGE;
    let after = page.last().map_or(cursor.after, |event| event.position);
    Ok(Some((page, Cursor { after, to: Some(to), ended })))
}

/// Where a replay with this filter ends.
async fn end(pool: &PgPool, filter: &ReplayFilter) -> Result<Position, Error> {
    match filter.to {
        Some(to) => Ok(to),
        None => head(pool).await,
    }
}

async fn page(
    pool: &PgPool,
    tenant: TenantId,
    filter: &ReplayFilter,
    after: Position,
    to: Position,
) -> Result<Vec<RecordedEvent>, Error> {
    let mut transaction = pool.begin().await?;
    set_tenant(&mut transaction, tenant).await?;
    let mut query = QueryBuilder::new(concat!("SELECT ", columns!(), " FROM log.events WHERE tenant_id = "));
    query.push_bind(tenant.uuid());
    query.push(" AND position > ").push_bind(after.as_i64());
    query.push(" AND position <= ").push_bind(to.as_i64());
    filter.restrict(&mut query);
    query.push(" ORDER BY position LIMIT ").push_bind(PAGE);
    let rows = query.build().fetch_all(&mut *transaction).await?;
    transaction.commit().await?;
    rows.iter().map(event).collect()
}

async fn set_tenant(transaction: &mut sqlx::Transaction<'_, Postgres>, tenant: TenantId) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT set_config('app.tenant_id', $1, true)")
        .bind(tenant.to_string())
        .execute(&mut **transaction)
        .await
        .map(drop)
}

/// Runs a stream of pages one page ahead of its reader, on a task of its own that ends when the reader goes.
fn ahead<T: Send + 'static>(
    pages: impl Stream<Item = Result<T, Error>> + Send + 'static,
) -> impl Stream<Item = Result<T, Error>> + Send {
    let (sender, mut receiver) = tokio::sync::mpsc::channel(1);
    let mut unread = Some((Box::pin(pages), sender));
    stream::poll_fn(move |context| {
        // At the first poll: a stream that nobody reads costs nothing.
        if let Some((mut pages, sender)) = unread.take() {
            tokio::spawn(async move {
                while let Some(page) = pages.next().await {
                    if sender.send(page).await.is_err() {
                        break;
                    }
                }
            });
        }
        receiver.poll_recv(context)
    })
}
