//! Replay of a tenant's history.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, ready};

use chrono::{DateTime, Utc};
use futures::{Stream, StreamExt, TryStreamExt, stream};
use kernel::{Position, RecordedEvent, TenantId};
use sqlx::postgres::{PgPool, Postgres};
use sqlx::{QueryBuilder, Row};

use crate::Error;
use crate::bounded::Bounded;
use crate::read::{EventSlice, columns, head, with_retries};
use crate::resume_panic;

/// Events in one page.
const PAGE: u32 = 5_000;

/// Selects events of a tenant's history; an unset field does not restrict.
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
    /// Appends the filter's conditions to a `WHERE` clause.
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

/// The number of events that a replay with this filter returns.
pub(crate) async fn count(pool: &PgPool, tenant: TenantId, filter: &ReplayFilter) -> Result<u64, Error> {
    let to = end(pool, filter).await?;
    with_retries(|| async move {
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

/// A tenant's events ordered by position, up to the end of the log when the replay begins. The log only grows at its end, so this is one
/// consistent snapshot however long reading takes, and no transaction is held open meanwhile. The next page is read while the last one is
/// used.
pub(crate) fn replay(
    pool: PgPool,
    tenant: TenantId,
    filter: ReplayFilter,
) -> impl Stream<Item = Result<RecordedEvent, Error>> + Send + use<> {
    let filter = Arc::new(filter);
    let begin = Cursor { after: filter.after, to: None, fits: None, ended: false };
    let pages = stream::try_unfold(begin, move |cursor| next_page(pool.clone(), tenant, Arc::clone(&filter), cursor));
    ahead(pages).map_ok(|page| stream::iter(page.into_iter().map(Ok))).try_flatten()
}

/// The state of a replay.
struct Cursor {
    after: Position,
    /// The last position; set when the first page is read.
    to: Option<Position>,
    /// The number of events that fit a page, according to the last one: so the budget costs a replay no further statements.
    fits: Option<u32>,
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
    let begin = || Bounded::expecting(cursor.fits, PAGE);
    let page = with_retries(|| page(&pool, tenant, &filter, (cursor.after, to), begin())).await?;
    let (after, ended) = (page.last().unwrap_or(cursor.after), page.ended);
    let cursor = Cursor { after, to: Some(to), fits: Some(page.fits()), ended };
    Ok(Some((page.into_entries(), cursor)))
}

/// The first events of a tenant after a position and up to another, at most `limit`, for callers that page by themselves.
pub(crate) async fn slice(
    pool: &PgPool,
    tenant: TenantId,
    after: Position,
    to: Position,
    limit: u32,
) -> Result<EventSlice, Error> {
    let filter = ReplayFilter::default();
    let page = with_retries(|| page(pool, tenant, &filter, (after, to), Bounded::new(limit))).await?;
    let slice = page.into_slice(after);
    Ok(if slice.more { slice } else { EventSlice { last: to.max(after), ..slice } })
}

/// The last position of a replay with this filter.
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
    (after, to): (Position, Position),
    mut page: Bounded<RecordedEvent>,
) -> Result<Bounded<RecordedEvent>, Error> {
    let mut transaction = pool.begin().await?;
    set_tenant(&mut transaction, tenant).await?;
    if filter.aggregate_id.is_none() {
        read_in_order(&mut transaction).await?;
    }
    while let Some(wanted) = page.wanted() {
        let mut query = QueryBuilder::new(SELECT);
        select_page(&mut query, tenant, filter, page.last().unwrap_or(after), to, wanted);
        page.take(wanted, query.build().fetch(&mut *transaction)).await?;
    }
    transaction.commit().await?;
    Ok(page)
}

const SELECT: &str = concat!("SELECT ", columns!());

/// Adds the conditions, order and limit of a page.
fn select_page<'a>(
    query: &mut QueryBuilder<'a, Postgres>,
    tenant: TenantId,
    filter: &'a ReplayFilter,
    after: Position,
    to: Position,
    limit: u32,
) {
    query.push(" FROM log.events WHERE tenant_id = ").push_bind(tenant.uuid());
    query.push(" AND position > ").push_bind(after.as_i64());
    query.push(" AND position <= ").push_bind(to.as_i64());
    filter.restrict(query);
    query.push(" ORDER BY position LIMIT ").push_bind(i64::from(limit));
}

/// Makes the transaction use index scans in position order. Without statistics (a log that was filled just now) Postgres assumes that few
/// rows are left, and collects and sorts the whole rest of the log for each page: a hundred times the work. Not used for a single
/// aggregate: its few events have an index of their own, and sorting them is cheaper.
pub(crate) async fn read_in_order(transaction: &mut sqlx::Transaction<'_, Postgres>) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT set_config('enable_bitmapscan', 'off', true), set_config('enable_sort', 'off', true)")
        .execute(&mut **transaction)
        .await
        .map(drop)
}

pub(crate) async fn set_tenant(
    transaction: &mut sqlx::Transaction<'_, Postgres>,
    tenant: TenantId,
) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT set_config('app.tenant_id', $1, true)")
        .bind(tenant.to_string())
        .execute(&mut **transaction)
        .await
        .map(drop)
}

/// Reads a stream of pages one page ahead of its consumer, on a task that ends when the consumer is dropped.
fn ahead<T: Send + 'static>(
    pages: impl Stream<Item = Result<T, Error>> + Send + 'static,
) -> impl Stream<Item = Result<T, Error>> + Send {
    let (sender, mut receiver) = tokio::sync::mpsc::channel(1);
    let mut unread = Some((Box::pin(pages), sender));
    let mut reader = None;
    stream::poll_fn(move |context| {
        // Started at the first poll: a stream that nobody reads costs nothing.
        if let Some((mut pages, sender)) = unread.take() {
            reader = Some(tokio::spawn(async move {
                while let Some(page) = pages.next().await {
                    if sender.send(page).await.is_err() {
                        break;
                    }
                }
            }));
        }
        let page = ready!(receiver.poll_recv(context));
        if page.is_none()
            && let Some(task) = &mut reader
        {
            let ended = ready!(Pin::new(task).poll(context));
            reader = None;
            resume_panic(ended);
        }
        Poll::Ready(page)
    })
}

#[cfg(test)]
mod tests {
    use std::panic::AssertUnwindSafe;

    use futures::FutureExt;
    use sqlx::postgres::PgPoolOptions;

    use super::*;

    /// A log without statistics, which the planner takes for a large one.
    const FILL: &str = "
        ALTER TABLE log.events SET (autovacuum_enabled = false);
        INSERT INTO log.events (tenant_id, position, event_id, aggregate_type, aggregate_id, sequence, event_type,
                                event_version, payload, metadata, occurred_at, recorded_at, leaf_hash)
        SELECT '{tenant}', n, gen_random_uuid(), 'crm.lead', 'lead ' || n, 1, 'crm.lead.captured', '1', '{}', '{}',
               now(), now(), sha256('leaf')
        FROM generate_series(1, 20000) n;
        UPDATE pg_class SET relpages = 1, reltuples = 10000 WHERE oid = 'log.events'::regclass";

    #[tokio::test]
    async fn a_reader_that_panics_is_not_taken_for_the_end() {
        let mut pages = 0;
        let pages = stream::poll_fn(move |_| {
            pages += 1;
            assert_eq!(pages, 1, "as the test wants it");
            Poll::Ready(Some(Ok::<_, Error>(pages)))
        });
        let mut read = std::pin::pin!(ahead(pages));
        assert_eq!(read.next().await.unwrap().unwrap(), 1);
        assert!(AssertUnwindSafe(read.next()).catch_unwind().await.is_err(), "the second page is missing");
    }

    #[tokio::test]
    async fn a_page_is_read_along_its_index_although_the_database_has_no_statistics() {
        let database = testbed::Database::fresh("crm").await;
        let pool = PgPoolOptions::new().max_connections(1).connect_with(database.superuser()).await.unwrap();
        let tenant = testbed::tenant();
        sqlx::raw_sql(&FILL.replace("{tenant}", &tenant.to_string())).execute(&pool).await.unwrap();

        let plan = async |in_order: bool| {
            let filter = ReplayFilter::default();
            let mut transaction = pool.begin().await.unwrap();
            set_tenant(&mut transaction, tenant).await.unwrap();
            if in_order {
                read_in_order(&mut transaction).await.unwrap();
            }
            let mut query = QueryBuilder::new(format!("EXPLAIN {SELECT}"));
            select_page(&mut query, tenant, &filter, Position(5_000), Position(20_000), PAGE);
            let lines = query.build_query_scalar::<String>().fetch_all(&mut *transaction).await.unwrap();
            lines.join("\n")
        };
        let (free, ours) = (plan(false).await, plan(true).await);
        assert!(free.contains("Sort"), "else this test shows nothing: {free}");
        assert!(ours.contains("Index Scan using events_tenant_position") && !ours.contains("Sort"), "{ours}");
    }
}
