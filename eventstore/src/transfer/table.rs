//! [`Opening`]: copies the tables next to the log row by row, in the transaction that opens the tenant in its new cell.

use futures::TryStreamExt;
use kernel::{Position, TenantId};
use serde_json::{Map, Value};
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Executor, Postgres, Row, Transaction};

use super::{Result, Transfer, side};
use crate::Error;
use crate::backup::write;

/// The size of one insert statement, in bytes.
const BYTES: usize = 4 << 20;

/// The transaction that makes the new cell the tenant's cell.
pub struct Opening<'a> {
    tenant: TenantId,
    old: &'a mut PgConnection,
    transaction: Transaction<'a, Postgres>,
    here: &'a [Position],
    there: &'a [Position],
}

impl<'a> Opening<'a> {
    pub(super) async fn begin(transfer: &'a mut Transfer) -> Result<Self> {
        let Transfer { tenant, from, to, .. } = transfer;
        let mut transaction = to.connection.begin().await?;
        // Only vacuum and the tenant wait for this transaction. If it times out, repeating the move opens the tenant.
        transaction.execute("SET LOCAL idle_in_transaction_session_timeout = '1min'").await?;
        Ok(Self {
            tenant: *tenant,
            old: &mut from.connection,
            transaction,
            here: &from.positions,
            there: &to.positions,
        })
    }

    /// The transaction, in the new cell.
    pub fn connection(&mut self) -> &mut PgConnection {
        &mut self.transaction
    }

    /// The tenant that is moved.
    pub fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// The position of the tenant's last event in the new cell; 0 if there is none.
    pub fn last(&self) -> Position {
        self.there.last().copied().unwrap_or_default()
    }

    /// The position in the new cell that corresponds to a position in the old one: that of the same event, or of the last one before it.
    pub fn position(&self, old: Position) -> Position {
        side::translate(self.here, self.there, old)
    }

    /// The position in the old cell up to which the history was copied.
    pub fn copied_to(&self) -> Position {
        self.here.last().copied().unwrap_or_default()
    }

    /// The connection to the old cell's database.
    pub fn old(&mut self) -> &mut PgConnection {
        self.old
    }

    /// Records that the tenant's read models in the new cell do not match its history: they have to be rebuilt before the tenant is opened.
    pub async fn require_rebuild(&mut self) -> Result<()> {
        sqlx::query("UPDATE log.closed SET purged = true WHERE tenant_id = $1")
            .bind(self.tenant.uuid())
            .execute(&mut *self.transaction)
            .await?;
        Ok(())
    }

    /// Replaces the tenant's rows of a table in the new cell by those of the old cell. `positions` are the columns that contain positions
    /// of the old log, which are translated. `change` may modify a row (as it is in the old cell), and returns whether to copy it. Returns
    /// the number of copied rows.
    pub async fn table(
        &mut self,
        table: &str,
        positions: &[&str],
        change: impl Fn(&mut Map<String, Value>) -> bool,
    ) -> Result<u64> {
        sqlx::query(&format!("DELETE FROM {table} WHERE tenant_id = $1"))
            .bind(self.tenant.uuid())
            .execute(&mut *self.transaction)
            .await?;
        let select = format!("SELECT to_jsonb(t)::text FROM {table} t WHERE tenant_id = $1");
        let mut rows = sqlx::query(&select).bind(self.tenant.uuid()).fetch(&mut *self.old);
        let (mut chunk, mut bytes, mut count) = (Vec::new(), 0, 0);
        while let Some(row) = rows.try_next().await? {
            let text: &str = row.try_get(0)?;
            let mut row: Map<String, Value> =
                serde_json::from_str(text).map_err(|error| Error::Corrupt(format!("a row of {table}: {error}")))?;
            if !change(&mut row) {
                continue;
            }
            for column in positions {
                if let Some(value) = row.get_mut(*column)
                    && let Some(old) = value.as_u64()
                {
                    *value = side::translate(self.here, self.there, Position(old)).0.into();
                }
            }
            let text = Value::Object(row).to_string();
            bytes += text.len();
            chunk.push(text);
            count += 1;
            if bytes >= BYTES {
                write::rows(&mut self.transaction, table, &std::mem::take(&mut chunk)).await?;
                bytes = 0;
            }
        }
        drop(rows);
        write::rows(&mut self.transaction, table, &chunk).await?;
        Ok(count)
    }

    /// Commits the copied tables without opening the tenant.
    pub async fn keep(self) -> Result<()> {
        self.transaction.commit().await?;
        Ok(())
    }

    /// Commits, and opens the tenant for writes in the new cell.
    pub async fn finish(mut self) -> Result<()> {
        sqlx::query("DELETE FROM log.closed WHERE tenant_id = $1")
            .bind(self.tenant.uuid())
            .execute(&mut *self.transaction)
            .await?;
        self.transaction.commit().await?;
        Ok(())
    }
}
