//! What people set up beside a log, and no event tells: rows of tables that other crates keep in its database, taken out as they are and
//! brought in again. What is a secret in them leaves the database sealed ([`Secrets`]).

use std::sync::Arc;

use kernel::TenantId;
use keys::{Context, DataKey, Random, Sealed, Wrapped};
use serde_json::{Map, Value};
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::Snapshot;
use crate::{Error, Sealing};

/// For what the key of a backup is, and what it seals.
const PURPOSE: &str = "backup.secrets";

/// A table of which backups hold the rows. It has a column `tenant_id`, and the role of backups may select from it.
#[derive(Clone, Copy, Debug)]
pub struct Beside {
    /// With its schema: `webhooks.endpoints`.
    pub table: &'static str,
    /// The columns of its key after the tenant.
    pub key: &'static [&'static str],
    /// Which rows: a condition on the table as `t`; none: all.
    pub only: Option<&'static str>,
    /// Columns with secrets, of whatever type.
    pub secrets: &'static [&'static str],
    /// What is otherwise in a row that is restored: what was true of the moment only; and what a column holds that came later, and
    /// may not be null, in a row that was taken before it.
    pub restored: fn(&mut Map<String, Value>),
}

/// A row of such a table.
#[derive(Clone, PartialEq)]
pub struct StoredRow {
    /// Whose.
    pub tenant: TenantId,
    /// What stands in it by its columns' names, as Postgres writes it as JSON.
    pub columns: Map<String, Value>,
}

impl StoredRow {
    /// The row with these columns.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when it says not whose it is.
    #[expect(
        clippy::disallowed_methods,
        reason = "the row is of a table, or of a backup of it, where only authenticated callers wrote"
    )]
    pub fn read(columns: Map<String, Value>) -> Result<Self, Error> {
        let tenant = columns.get("tenant_id").and_then(Value::as_str).and_then(|id| id.parse::<Uuid>().ok());
        let tenant = tenant.ok_or_else(|| Error::Corrupt("a row beside the log is of no tenant".to_owned()))?;
        Ok(Self { tenant: TenantId::vouched(tenant), columns })
    }
}

impl Snapshot {
    /// The rows of such a table, by tenant and key. Not those of tenants that are deleted, or live elsewhere: there they are used.
    pub async fn beside(&mut self, of: &Beside) -> Result<Vec<StoredRow>, Error> {
        // Few, and a backup reads everything: no index.
        let select = format!(
            "SELECT to_jsonb(t)::text FROM {} t
             WHERE NOT EXISTS (SELECT FROM log.closed c WHERE c.tenant_id = t.tenant_id AND c.state <> 'paused') AND ({})
             ORDER BY t.{}",
            of.table,
            of.only.unwrap_or("true"),
            [&["tenant_id"][..], of.key].concat().join(", t.")
        );
        let rows = sqlx::query(&select).fetch_all(self.connection()).await?;
        let read = |row: &PgRow| -> Result<StoredRow, Error> {
            let text: &str = row.try_get(0)?;
            let columns = serde_json::from_str(text);
            StoredRow::read(columns.map_err(|error| Error::Corrupt(format!("a row of {}: {error}", of.table)))?)
        };
        rows.iter().map(read).collect()
    }
}

/// What seals the secrets of one backup: a key of its own, which the master key wraps.
pub struct Secrets {
    key: DataKey,
    random: Arc<dyn Random>,
}

impl Secrets {
    /// For a backup that begins; and the key as it is kept with it.
    ///
    /// # Errors
    /// [`Error::Key`] when the master key can't be asked.
    pub async fn make(sealing: &Sealing) -> Result<(Self, String), Error> {
        let key = DataKey::generate(&*sealing.random).map_err(Error::Key)?;
        let wrapped = sealing.master.wrap(of_backup(), &key).await.map_err(Error::Key)?;
        Ok((Self { key, random: Arc::clone(&sealing.random) }, wrapped.as_str().to_owned()))
    }

    /// Of a backup that is there, by the key that was kept with it.
    ///
    /// # Errors
    /// [`Error::Key`] when it is of another master key, or that can't be asked.
    pub async fn read(sealing: &Sealing, wrapped: &str) -> Result<Self, Error> {
        let key = sealing.master.unwrap(of_backup(), &Wrapped::read(wrapped)).await.map_err(Error::Key)?;
        Ok(Self { key, random: Arc::clone(&sealing.random) })
    }

    /// Seals what is a secret in a row, for this row only.
    ///
    /// # Errors
    /// [`Error::Key`] without randomness.
    pub fn seal(&self, of: &Beside, row: &mut StoredRow) -> Result<(), Error> {
        for column in of.secrets {
            let (tenant, subject) = (row.tenant, subject(of, column, row));
            if let Some(value) = row.columns.get_mut(*column).filter(|value| !value.is_null()) {
                let context = Context { tenant, purpose: PURPOSE, subject: &subject };
                let text = value.to_string();
                let sealed = self.key.seal(context, text.as_bytes(), &*self.random).map_err(Error::Key)?;
                *value = Value::String(sealed.as_str().to_owned());
            }
        }
        Ok(())
    }

    /// Opens what [`seal`](Self::seal) sealed.
    ///
    /// # Errors
    /// [`Error::Key`] when it is another row's, or was changed.
    pub fn open(&self, of: &Beside, row: &mut StoredRow) -> Result<(), Error> {
        for column in of.secrets {
            let (tenant, subject) = (row.tenant, subject(of, column, row));
            if let Some(value) = row.columns.get_mut(*column).filter(|value| !value.is_null()) {
                let context = Context { tenant, purpose: PURPOSE, subject: &subject };
                let text = value.as_str().ok_or(Error::Key(keys::Error::DoesNotOpen))?;
                let opened = self.key.open(context, &Sealed::read(text)).map_err(Error::Key)?;
                // Not what serde says: it is about a secret.
                *value = serde_json::from_slice(&opened)
                    .map_err(|_| Error::Corrupt(format!("what is sealed in {} is no JSON", of.table)))?;
            }
        }
        Ok(())
    }
}

/// What the key of a backup is wrapped for: no tenant's.
#[expect(clippy::disallowed_methods, reason = "nobody's: a backup is of all tenants")]
fn of_backup() -> Context<'static> {
    Context { tenant: TenantId::vouched(Uuid::nil()), purpose: PURPOSE, subject: "" }
}

/// Which secret it is.
fn subject(of: &Beside, column: &str, row: &StoredRow) -> String {
    let key = of.key.iter().map(|column| row.columns.get(*column).map(Value::to_string).unwrap_or_default());
    format!("{}.{column}/{}", of.table, key.collect::<Vec<_>>().join("/"))
}

#[cfg(test)]
mod tests {
    use keys::{LocalMasterKey, SystemRandom};
    use serde_json::json;

    use super::*;

    const LAMPS: Beside = Beside {
        table: "demo.lamps",
        key: &["lamp_id"],
        only: None,
        secrets: &["secret", "former", "detail"],
        restored: |_| {},
    };

    fn sealing(digit: &str) -> Sealing {
        let master = Arc::new(LocalMasterKey::parse(&digit.repeat(64), SystemRandom).unwrap());
        Sealing { master, random: Arc::new(SystemRandom) }
    }

    fn lamp(tenant: TenantId, id: u32) -> StoredRow {
        let (tenant, detail) = (tenant.to_string(), json!({ "url": "https://lamp.example/token", "after": 7 }));
        let row = json!({ "tenant_id": tenant, "lamp_id": id, "secret": "\\x0102", "former": null, "detail": detail });
        let Value::Object(columns) = row else { panic!("a row") };
        StoredRow::read(columns).unwrap()
    }

    #[tokio::test]
    async fn a_secret_opens_in_its_own_row_with_the_master_key_of_the_backup() {
        let (secrets, wrapped) = Secrets::make(&sealing("a")).await.unwrap();
        let (tenant, other) = (testbed::tenant(), testbed::tenant());
        let mut row = lamp(tenant, 1);
        secrets.seal(&LAMPS, &mut row).unwrap();
        let sealed = row.columns["secret"].clone();
        assert!(sealed.as_str().unwrap().starts_with("v1.") && row.columns["former"].is_null(), "{sealed}");
        assert!(row.columns["detail"].as_str().unwrap().starts_with("v1."), "whatever form it has: {:?}", row.columns);

        let again = Secrets::read(&sealing("a"), &wrapped).await.unwrap();
        again.open(&LAMPS, &mut row).unwrap();
        assert!(row == lamp(tenant, 1));
        for mut elsewhere in [lamp(tenant, 2), lamp(other, 1)] {
            elsewhere.columns.insert("secret".to_owned(), sealed.clone());
            let refused = again.open(&LAMPS, &mut elsewhere).unwrap_err();
            assert!(matches!(refused, Error::Key(keys::Error::DoesNotOpen)), "{refused}");
        }
        let refused = Secrets::read(&sealing("b"), &wrapped).await.err().unwrap();
        assert!(matches!(refused, Error::Key(keys::Error::OtherMaster { .. })), "{refused}");
    }
}
