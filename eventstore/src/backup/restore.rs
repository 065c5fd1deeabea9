//! [`Restore`]: fills an empty log from a backup.

use kernel::{Position, RecordedEvent, Service, TenantId};
use serde_json::Value;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{Connection, Executor};
use uuid::Uuid;

use super::copied::Origin;
use super::snapshot::head;
use super::{Head, SideTable, StoredAnswer, StoredClaim, StoredEvent, StoredRow, copied, write};
use crate::read::{columns, event};
use crate::seals::{Seal, rows};
use crate::{Database, Error, LockKey, admin};

const LAST_TOLD: &str = concat!(
    "SELECT DISTINCT ON (tenant_id) ",
    columns!(),
    " FROM log.events e WHERE tenant_id = ANY ($1) AND event_type = ANY ($2)
        AND NOT EXISTS (SELECT FROM log.copied c WHERE c.tenant_id = e.tenant_id AND NOT c.moved AND e.position <= c.position)
      ORDER BY tenant_id, position DESC"
);

/// The tables with data of tenants besides their events: `log.claims`, `log.commands` and the tables of other crates, except those of the
/// sagas. A tenant that was completely destroyed has no rows in them.
const TENANT_TABLES: &str = "SELECT format('%I.%I', n.nspname, c.relname)
     FROM pg_class c
     JOIN pg_namespace n ON n.oid = c.relnamespace
     JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped
     WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition
       AND (c.oid IN ('log.claims'::regclass, 'log.commands'::regclass)
            OR n.nspname NOT IN ('log', 'saga') AND n.nspname !~ '^(pg_|information_schema)')
     ORDER BY 1";

/// A log that is being filled, in one transaction, which is rolled back unless it is [finished](Self::finish). Appends wait meanwhile.
pub struct Restore {
    service: Service,
    connection: PgConnection,
}

/// Refuses a log to which anything was ever written, or next to which one of the given tables has rows. A database that does not exist yet
/// is empty.
///
/// # Errors
/// [`Error::NotEmpty`] and [`Error::NotEmptyBeside`].
pub async fn is_empty(admin: &PgConnectOptions, database: &Database, side_tables: &[&SideTable]) -> Result<(), Error> {
    let Some(mut connection) = connect_to_existing(admin, database).await? else { return Ok(()) };
    if has_table(&mut connection, "log.head").await? {
        check_empty(&mut connection, database.service).await?;
    }
    for of in side_tables {
        check_empty_side_table(&mut connection, database.service, of).await?;
    }
    connection.close().await?;
    Ok(())
}

/// Whether a restore has [finished](Restore::finish) a log with this end, and nothing was appended since. The end alone does not prove that
/// the log holds what the backup does.
pub async fn is_filled(
    admin: &PgConnectOptions,
    database: &Database,
    head: Head,
    looked: Position,
) -> Result<bool, Error> {
    let Some(mut connection) = connect_to_existing(admin, database).await? else { return Ok(false) };
    let mut filled = false;
    if has_table(&mut connection, "log.copied").await? {
        // Row level security may hide what was restored from an admin who is not a superuser.
        connection.execute(format!("SET ROLE {}", database.owner()).as_str()).await?;
        filled = ends_as_restored(&mut connection, head, looked).await?;
    }
    connection.close().await?;
    Ok(filled)
}

/// Connects to a service's database. `None` if it does not exist yet.
async fn connect_to_existing(admin: &PgConnectOptions, database: &Database) -> Result<Option<PgConnection>, Error> {
    let mut cluster = admin::connect(admin).await?;
    let exists: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
        .bind(&database.name)
        .fetch_one(&mut cluster)
        .await?;
    cluster.close().await?;
    if exists { Ok(Some(admin::connect(&admin.clone().database(&database.name)).await?)) } else { Ok(None) }
}

async fn has_table(connection: &mut PgConnection, table: &str) -> Result<bool, Error> {
    Ok(sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL").bind(table).fetch_one(connection).await?)
}

/// Whether a restore has set this end of the log, and it is still the end.
async fn ends_as_restored(connection: &mut PgConnection, end: Head, looked: Position) -> Result<bool, Error> {
    if head(connection).await? != end {
        return Ok(false);
    }
    Ok(copied::restored(connection).await? == Some(looked.min(end.position)))
}

/// Checks `log.head`: every append, even one without events, records its time there.
async fn check_empty(connection: &mut PgConnection, service: Service) -> Result<(), Error> {
    match head(connection).await? {
        Head { position: Position::START, recorded_at: None } => Ok(()),
        Head { position, .. } => Err(Error::NotEmpty { service, head: position }),
    }
}

/// Checks that a table has no rows that belong to no tenant (configuration for all tenants). Rows of tenants need no check: a tenant has
/// events, and the log is empty.
async fn check_empty_side_table(connection: &mut PgConnection, service: Service, of: &SideTable) -> Result<(), Error> {
    if !has_table(connection, of.table).await? {
        return Ok(());
    }
    // For an admin who is not a superuser, row level security shows only the rows of the tenants set here; the nil id stands for "all
    // tenants".
    sqlx::query("SELECT set_config('app.tenant_ids', $1::uuid[]::text, false)")
        .bind([Uuid::nil()].as_slice())
        .execute(&mut *connection)
        .await?;
    let has_rows: bool =
        sqlx::query_scalar(&format!("SELECT EXISTS (SELECT FROM {})", of.table)).fetch_one(&mut *connection).await?;
    if has_rows { Err(Error::NotEmptyBeside { service, table: of.table }) } else { Ok(()) }
}

impl Restore {
    /// Begins to fill the log of a migrated database. `admin` may act as the service's owner.
    ///
    /// # Errors
    /// [`Error::NotEmpty`].
    pub async fn begin(admin: &PgConnectOptions, database: &Database) -> Result<Self, Error> {
        let mut restore = Self::open(admin, database).await?;
        check_empty(&mut restore.connection, database.service).await?;
        Ok(restore)
    }

    /// Opens a log that an earlier restore has [finished](Self::finish) with this end. It needs nothing more, but other logs that are filled
    /// together with it may need to know what is in it; and it can be finished again, with the same values.
    ///
    /// # Errors
    /// [`Error::NotEmpty`] if it is not [filled](is_filled) like this.
    pub async fn reopen(
        admin: &PgConnectOptions,
        database: &Database,
        end: Head,
        looked: Position,
    ) -> Result<Self, Error> {
        let mut restore = Self::open(admin, database).await?;
        if ends_as_restored(&mut restore.connection, end, looked).await? {
            return Ok(restore);
        }
        let head = head(&mut restore.connection).await?.position;
        Err(Error::NotEmpty { service: database.service, head })
    }

    /// Begins the transaction. Appends wait until it ends.
    async fn open(admin: &PgConnectOptions, database: &Database) -> Result<Self, Error> {
        let mut connection = admin::connect(&admin.clone().database(&database.name)).await?;
        connection.execute("BEGIN").await?;
        sqlx::query("SELECT pg_advisory_xact_lock($1)")
            .bind(LockKey::Writing.number())
            .execute(&mut connection)
            .await?;
        connection.execute(format!("SET LOCAL ROLE {}", database.owner()).as_str()).await?;
        Ok(Self { service: database.service, connection })
    }

    /// The service whose log it is.
    pub fn service(&self) -> Service {
        self.service
    }

    /// The transaction, which acts as the service's owner, for crates that restore tables of their own.
    pub fn connection(&mut self) -> &mut PgConnection {
        &mut self.connection
    }

    /// Writes events.
    pub async fn events(&mut self, rows: &[StoredEvent]) -> Result<(), Error> {
        write::events(&mut self.connection, rows).await
    }

    /// Writes seals. The sealer will not sign heads again that these cover.
    pub async fn seals(&mut self, seals: &[Seal]) -> Result<(), Error> {
        if seals.is_empty() {
            return Ok(());
        }
        self.scope(&seals.iter().map(|seal| seal.tenant).collect::<Vec<_>>()).await?;
        rows::insert(&mut self.connection, seals).await
    }

    /// Writes commands with their answers.
    pub async fn commands(&mut self, rows: &[StoredAnswer]) -> Result<(), Error> {
        write::commands(&mut self.connection, rows).await
    }

    /// Writes claims.
    pub async fn claims(&mut self, rows: &[StoredClaim]) -> Result<(), Error> {
        write::claims(&mut self.connection, rows).await
    }

    /// Records the [mark](crate::claim_key_mark) of the key under which the claims are hashed.
    pub async fn claim_key_mark(&mut self, mark: &str) -> Result<(), Error> {
        sqlx::query(
            "INSERT INTO log.claim_key (mark) VALUES ($1) ON CONFLICT (one) DO UPDATE SET mark = excluded.mark",
        )
        .bind(mark)
        .execute(&mut self.connection)
        .await?;
        Ok(())
    }

    /// Writes rows of a table next to the log.
    pub async fn side_table(&mut self, of: &SideTable, rows: &[StoredRow]) -> Result<(), Error> {
        self.scope(&rows.iter().map(|row| row.tenant.uuid()).collect::<Vec<_>>()).await?;
        let rows: Vec<_> = rows.iter().map(|row| Value::Object(row.columns.clone()).to_string()).collect();
        write::rows(&mut self.connection, of.table, &rows).await
    }

    /// Records which tenants' histories are copies of another tenant's, and up to which position: consumers do not act on those events.
    pub async fn copies(&mut self, copies: &[(TenantId, Position)]) -> Result<(), Error> {
        for (tenant, to) in copies {
            copied::record(&mut self.connection, Origin::CopyFor(*tenant), *to).await?;
        }
        Ok(())
    }

    /// The last event of one of these types for each of the tenants, if there is any. Events that are copies of another tenant's are not
    /// considered.
    pub async fn last_events(&mut self, event_types: &[&str], tenants: &[Uuid]) -> Result<Vec<RecordedEvent>, Error> {
        self.scope(tenants).await?;
        // Runs once in a restore, and most tenants have few or no events of these types: no index.
        let rows = sqlx::query(LAST_TOLD).bind(tenants).bind(event_types).fetch_all(&mut self.connection).await?;
        rows.iter().map(event).collect()
    }

    /// Closes those of the tenants as deleted of which only events are left. A tenant that still has other data is in the middle of being
    /// destroyed; that continues where it was.
    pub async fn close_deleted(&mut self, tenants: &[Uuid]) -> Result<(), Error> {
        self.scope(tenants).await?;
        let mut tenants = tenants.to_vec();
        let tables: Vec<String> = sqlx::query_scalar(TENANT_TABLES).fetch_all(&mut self.connection).await?;
        for table in tables {
            let select = format!("SELECT DISTINCT tenant_id FROM {table} WHERE tenant_id = ANY ($1)");
            let having: Vec<Uuid> = sqlx::query_scalar(&select).bind(&tenants).fetch_all(&mut self.connection).await?;
            tenants.retain(|tenant| !having.contains(tenant));
        }
        sqlx::query(
            "INSERT INTO log.closed (tenant_id, state, cell)
             SELECT t.tenant_id, 'deleted', '' FROM unnest($1::uuid[]) AS t (tenant_id)
             ON CONFLICT DO NOTHING",
        )
        .bind(&tenants)
        .execute(&mut self.connection)
        .await?;
        Ok(())
    }

    /// Makes row level security admit the rows of these tenants.
    async fn scope(&mut self, tenants: &[Uuid]) -> Result<(), Error> {
        sqlx::query("SELECT set_config('app.tenant_ids', $1::uuid[]::text, true)")
            .bind(tenants)
            .execute(&mut self.connection)
            .await?;
        Ok(())
    }

    /// Sets the end of the log, records that events up to `looked` (at most the end) were restored, so that consumers do not act on them
    /// again, and commits.
    pub async fn finish(mut self, head: Head, looked: Position) -> Result<(), Error> {
        sqlx::query("UPDATE log.head SET position = $1, recorded_at = coalesce($2, '-infinity')")
            .bind(head.position.as_i64())
            .bind(head.recorded_at)
            .execute(&mut self.connection)
            .await?;
        // What those events started is in the log, too.
        copied::record(&mut self.connection, Origin::Backup, looked.min(head.position)).await?;
        self.connection.execute("COMMIT").await?;
        // Without statistics the planner takes the new tables for empty.
        self.connection.execute("ANALYZE log.events, log.commands, log.claims, log.seals").await?;
        self.connection.close().await?;
        Ok(())
    }
}
