//! Archiving of inactive ("cold") streams: they are moved out of the hot table, and all readers of the log still find them.
//!
//! `log.archived` inherits from `log.events`: a query of `log.events` reads both tables, under the same policies, so loading, replaying,
//! following, backups and the check of an append's expected version are not affected by archiving. [`Archiver::run`] moves some whole
//! streams in one transaction: at any moment an event is in exactly one of the two tables. When events are appended to an archived stream,
//! they go into the hot table, and are archived when the stream is cold again.

use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use kernel::{Leaf, TenantId};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection, Executor, Row};
use uuid::Uuid;

use crate::backup::StoredEvent;
use crate::bounded::Entry;
use crate::read::columns;
use crate::{Database, Error, LockKey, Role, admin};

/// Streams of all tenants whose last event in the hot table was recorded before a time, each beside the sums of all of them. No index
/// supports this: it reads the whole hot table, once in a run. The server keeps the list (on its disk, if it is long), because there may be
/// millions; after the statement it needs no snapshot for it, so it holds up nobody's vacuum.
const COLD: &str = "
    DECLARE cold CURSOR WITH HOLD FOR
    SELECT tenant_id, aggregate_type, aggregate_id, count(*), sum(pg_column_size(e)), max(sequence),
           count(*) OVER (), (sum(count(*)) OVER ())::bigint, (sum(sum(pg_column_size(e))) OVER ())::bigint
    FROM ONLY log.events e
    GROUP BY tenant_id, aggregate_type, aggregate_id
    HAVING max(recorded_at) < $1
    ORDER BY tenant_id, aggregate_type, aggregate_id";

/// The next page of the list.
const NEXT: &str = "FETCH 1000 FROM cold";

/// Moves streams up to the version at which they were found: events appended since then stay hot.
const MOVE: &str = "
    WITH cold AS (
        DELETE FROM ONLY log.events e
        USING unnest($1::uuid[], $2::text[], $3::text[], $4::bigint[]) AS s (tenant_id, aggregate_type, aggregate_id, sequence)
        WHERE e.tenant_id = s.tenant_id AND e.aggregate_type = s.aggregate_type AND e.aggregate_id = s.aggregate_id
          AND e.sequence <= s.sequence
        RETURNING e.*
    )
    INSERT INTO log.archived SELECT * FROM cold";

/// Reads back the moved events. (Earlier versions of a stream may have been archived before.)
const MOVED: &str = concat!(
    "SELECT ",
    columns!(),
    ", leaf_hash FROM ONLY log.archived
     JOIN unnest($1::uuid[], $2::text[], $3::text[], $4::bigint[], $5::bigint[]) AS s (t, y, i, after, upto)
       ON tenant_id = t AND aggregate_type = y AND aggregate_id = i AND sequence > after AND sequence <= upto"
);

/// A stream to which nothing was appended for a long time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColdStream {
    tenant: Uuid,
    aggregate_type: String,
    aggregate_id: String,
    /// The version at which it was found.
    version: i64,
    /// The number of its events in the hot table.
    pub events: u64,
    /// The size of their rows in bytes, without indexes.
    pub bytes: u64,
}

/// The list of a service's cold streams, as of one moment.
pub struct ColdStreams {
    /// Has the cursor.
    reader: PgConnection,
    /// Those that were fetched and not taken.
    page: std::vec::IntoIter<ColdStream>,
    /// The numbers and sizes of all of them.
    pub total: ColdTotal,
}

/// The numbers and sizes of cold streams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ColdTotal {
    /// The streams.
    pub streams: u64,
    /// Their events in the hot table.
    pub events: u64,
    /// The size of the rows of these events in bytes, without indexes.
    pub bytes: u64,
}

/// The sizes of the two tables in bytes, including indexes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// The hot table. The space of moved rows is reused for new events; the file shrinks only with `VACUUM FULL`.
    pub hot: u64,
    /// The archive.
    pub archived: u64,
}

/// Archives the cold streams of a service.
pub struct Archiver {
    database: Database,
    admin: PgConnectOptions,
    connection: PgConnection,
}

impl Archiver {
    /// Creates the archive table if there is none. `admin` may act as the service's owner. A dry run creates nothing.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if another process is archiving.
    pub async fn begin(admin: &PgConnectOptions, database: &Database, dry_run: bool) -> Result<Self, Error> {
        let mut connection = admin::connect(&admin.clone().database(&database.name)).await?;
        let ours: bool = sqlx::query_scalar("SELECT pg_try_advisory_lock($1)")
            .bind(LockKey::Archiving.number())
            .fetch_one(&mut connection)
            .await?;
        if !ours {
            return Err(Error::Unavailable("another process archives at this time".to_owned()));
        }
        if !dry_run {
            // Suppresses the notices "… already exists, skipping" of idempotent statements.
            connection.execute("SET client_min_messages = warning").await?;
            let mut transaction = connection.begin().await?;
            transaction.execute(format!("SET LOCAL ROLE {}", database.owner()).as_str()).await?;
            let tables = include_str!("archive.sql").replace("{{service}}", database.service.name());
            transaction.execute(tables.as_str()).await?;
            transaction.commit().await?;
        }
        Ok(Self { database: database.clone(), admin: admin.clone(), connection })
    }

    /// The streams to which nothing was appended since a time.
    pub async fn cold(&self, since: DateTime<Utc>) -> Result<ColdStreams, Error> {
        let options = self.database.options(Role::Follow).disable_statement_logging();
        let mut reader = options.connect().await?;
        sqlx::query(COLD).bind(since).execute(&mut reader).await?;
        let (page, total) = fetch(&mut reader).await?;
        Ok(ColdStreams { reader, page: page.into_iter(), total: total.unwrap_or_default() })
    }

    /// Moves these streams into the archive in one transaction, without blocking anybody. Returns the number of moved events.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if an event is not what its writer wrote; then nothing is moved.
    pub async fn run(&mut self, streams: &[ColdStream]) -> Result<u64, Error> {
        let tenants: Vec<_> = streams.iter().map(|stream| stream.tenant).collect();
        let types: Vec<_> = streams.iter().map(|stream| stream.aggregate_type.as_str()).collect();
        let ids: Vec<_> = streams.iter().map(|stream| stream.aggregate_id.as_str()).collect();
        let versions: Vec<_> = streams.iter().map(|stream| stream.version).collect();
        let mut transaction = self.connection.begin().await?;
        transaction.execute(format!("SET LOCAL ROLE {}", self.database.owner()).as_str()).await?;
        sqlx::query("SELECT set_config('app.tenant_ids', ($1::uuid[])::text, true)")
            .bind(&tenants)
            .execute(&mut *transaction)
            .await?;
        let moved = sqlx::query(MOVE)
            .bind(&tenants)
            .bind(&types)
            .bind(&ids)
            .bind(&versions)
            .execute(&mut *transaction)
            .await?
            .rows_affected();
        // The moved events are read back and verified: events that can't be proven any more are not moved. They are read one by one,
        // because a stream may be larger than the memory.
        let before: Vec<_> = streams.iter().map(|stream| stream.version - stream.events.cast_signed()).collect();
        let mut rows = sqlx::query(MOVED)
            .bind(&tenants)
            .bind(&types)
            .bind(&ids)
            .bind(&before)
            .bind(&versions)
            .fetch(&mut *transaction);
        let mut arrived = 0;
        while let Some(row) = rows.try_next().await? {
            arrived += 1;
            let StoredEvent { event, leaf_hash } = StoredEvent::read(&row)?;
            if Leaf::from(&event).hash() != leaf_hash {
                return Err(Error::Corrupt(format!(
                    "the event at position {} is not the one that was written: its bytes do not give its leaf hash",
                    event.position
                )));
            }
        }
        drop(rows);
        if arrived != moved {
            return Err(Error::Corrupt(format!("of {moved} events {arrived} arrived in the archive")));
        }
        transaction.commit().await?;
        Ok(moved)
    }

    /// The sizes of the tables.
    pub async fn sizes(&mut self) -> Result<Sizes, Error> {
        let row = sqlx::query(
            "SELECT pg_total_relation_size('log.events'), coalesce(pg_total_relation_size(to_regclass('log.archived')), 0)",
        )
        .fetch_one(&mut self.connection)
        .await?;
        Ok(Sizes {
            hot: row.try_get::<i64, _>(0)?.cast_unsigned(),
            archived: row.try_get::<i64, _>(1)?.cast_unsigned(),
        })
    }

    /// Ends, and updates the tables' statistics. With `compact`, also rewrites the hot table, which blocks all readers and writers. Returns
    /// the sizes of the tables after that: for a while, a second archiver might find that this one still holds the lock.
    pub async fn finish(mut self, compact: bool) -> Result<Sizes, Error> {
        let vacuum = if compact { "VACUUM (FULL, ANALYZE) log.events" } else { "VACUUM (ANALYZE) log.events" };
        let mut connection = admin::connect(&self.admin.clone().database(&self.database.name)).await?;
        connection.execute(format!("SET ROLE {}", self.database.owner()).as_str()).await?;
        connection.execute(vacuum).await?;
        connection.execute("VACUUM (ANALYZE) log.archived").await?;
        connection.close().await?;
        let sizes = self.sizes().await?;
        self.connection.close().await?;
        Ok(sizes)
    }
}

/// The next page of the list, and the sums of the whole list unless the page is empty.
async fn fetch(reader: &mut PgConnection) -> Result<(Vec<ColdStream>, Option<ColdTotal>), Error> {
    let (mut page, mut total) = (Vec::new(), None);
    for row in sqlx::query(NEXT).fetch_all(reader).await? {
        let count = |column: usize| row.try_get::<i64, _>(column).map(i64::cast_unsigned);
        page.push(ColdStream {
            tenant: row.try_get(0)?,
            aggregate_type: row.try_get(1)?,
            aggregate_id: row.try_get(2)?,
            events: count(3)?,
            bytes: count(4)?,
            version: row.try_get(5)?,
        });
        total = Some(ColdTotal { streams: count(6)?, events: count(7)?, bytes: count(8)? });
    }
    Ok((page, total))
}

impl ColdStreams {
    /// Takes the next streams from the list: until they have `events` events together, so streams are never split. None at the end.
    pub async fn next(&mut self, events: u64) -> Result<Vec<ColdStream>, Error> {
        let (mut streams, mut sum) = (Vec::new(), 0);
        while sum < events {
            if self.page.as_slice().is_empty() {
                self.page = fetch(&mut self.reader).await?.0.into_iter();
            }
            let Some(stream) = self.page.next() else { break };
            sum += stream.events;
            streams.push(stream);
        }
        Ok(streams)
    }

    /// Discards the list.
    pub async fn close(self) -> Result<(), Error> {
        Ok(self.reader.close().await?)
    }
}

impl ColdStream {
    /// The tenant.
    #[expect(
        clippy::disallowed_methods,
        reason = "the tenant is read from the log, where only authenticated callers wrote"
    )]
    pub const fn tenant(&self) -> TenantId {
        TenantId::vouched(self.tenant)
    }

    /// The type of the aggregate.
    pub fn aggregate_type(&self) -> &str {
        &self.aggregate_type
    }
}
