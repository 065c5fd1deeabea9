//! What stands beside the log, row by row, and the moment at which the tenant lives in its new cell.

use futures::TryStreamExt;
use kernel::{Position, TenantId};
use serde_json::{Map, Value};
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Executor, Postgres, Row, Transaction};

use super::{Result, Transfer, side};
use crate::Error;
use crate::backup::write;

/// Bytes of one statement.
const BYTES: usize = 4 << 20;

/// The transaction in which a tenant comes to live in its new cell.
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
        // Nobody waits for it but vacuum, and the tenant: that it is let in is for whoever comes again.
        transaction.execute("SET LOCAL idle_in_transaction_session_timeout = '1min'").await?;
        Ok(Self { tenant: *tenant, old: &mut from.connection, transaction, here: &from.places, there: &to.places })
    }

    /// The transaction, which is in the new cell.
    pub fn connection(&mut self) -> &mut PgConnection {
        &mut self.transaction
    }

    /// Whose it is.
    pub fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// Where the tenant's last event stands in the new cell; 0: it has none.
    pub fn last(&self) -> Position {
        self.there.last().copied().unwrap_or_default()
    }

    /// The position in the new cell of an event of the old one, or of the last one before it.
    pub fn position(&self, old: Position) -> Position {
        side::place(self.here, self.there, old)
    }

    /// The position in the old cell up to which its history is here.
    pub fn copied_to(&self) -> Position {
        self.here.last().copied().unwrap_or_default()
    }

    /// The old cell's database.
    pub fn old(&mut self) -> &mut PgConnection {
        self.old
    }

    /// Notes that the tenant's read models here are not what its history makes of them: they are to be built anew before it is let in.
    pub async fn to_be_built_anew(&mut self) -> Result<()> {
        sqlx::query("UPDATE log.closed SET purged = true WHERE tenant_id = $1")
            .bind(self.tenant.uuid())
            .execute(&mut *self.transaction)
            .await?;
        Ok(())
    }

    /// Makes the tenant's rows of a table those that the old cell has. `positions` are columns with positions of the old log; `change`
    /// may alter a row on its way, as the old cell has it, and says whether it goes along. How many rows there are.
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
                    *value = side::place(self.here, self.there, Position(old)).0.into();
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

    /// Keeps what was taken along so far; the tenant is not let in yet.
    pub async fn keep(self) -> Result<()> {
        self.transaction.commit().await?;
        Ok(())
    }

    /// From now on the tenant writes here.
    pub async fn finish(mut self) -> Result<()> {
        sqlx::query("DELETE FROM log.closed WHERE tenant_id = $1")
            .bind(self.tenant.uuid())
            .execute(&mut *self.transaction)
            .await?;
        self.transaction.commit().await?;
        Ok(())
    }
}
