//! Backup of configuration that no event records: rows of tables that other crates keep in the same database, exported and imported
//! unchanged. Secrets in them are encrypted in a backup ([`Secrets`]).

use std::sync::Arc;

use kernel::TenantId;
use keys::{Context, DataKey, Random, Sealed, Wrapped};
use serde_json::{Map, Value};
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::Snapshot;
use crate::{Error, Sealing};

/// The purpose (see [`Context`]) of the key of a backup and of the values that it encrypts.
const PURPOSE: &str = "backup.secrets";

/// A table next to the log whose rows are part of backups. It has a column `tenant_id`, and the backup role may select from it.
#[derive(Clone, Copy, Debug)]
pub struct SideTable {
    /// Its name with the schema, such as `webhooks.endpoints`.
    pub table: &'static str,
    /// The columns of its primary key after `tenant_id`.
    pub key: &'static [&'static str],
    /// A condition on the table, which is named `t`; `None`: all rows.
    pub only: Option<&'static str>,
    /// The columns that contain secrets, of any type.
    pub secrets: &'static [&'static str],
    /// Changes a row before it is restored: removes state that was valid only at the time of the backup, and fills in columns that are not
    /// null and were added after the backup was made.
    pub restored: fn(&mut Map<String, Value>),
}

/// A row of a table that is described by a [`SideTable`].
#[derive(Clone, PartialEq)]
pub struct StoredRow {
    /// The tenant.
    pub tenant: TenantId,
    /// The values by column name, in Postgres's JSON form.
    pub columns: Map<String, Value>,
}

impl StoredRow {
    /// Makes a row of these columns.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if it has no valid `tenant_id`.
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
    /// All rows of a table, ordered by tenant and key, except those of tenants that are deleted or live in another cell.
    pub async fn side_table(&mut self, of: &SideTable) -> Result<Vec<StoredRow>, Error> {
        // There are few rows, and a backup reads all of them: no index.
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

/// Encrypts the secrets of one backup, under a data key that is wrapped by the master key.
pub struct Secrets {
    key: DataKey,
    random: Arc<dyn Random>,
}

impl Secrets {
    /// Generates the key for a new backup. Returns also the wrapped key, which has to be stored with the backup.
    ///
    /// # Errors
    /// [`Error::Key`] if the master key is unavailable.
    pub async fn make(sealing: &Sealing) -> Result<(Self, String), Error> {
        let key = DataKey::generate(&*sealing.random).map_err(Error::Key)?;
        let wrapped = sealing.master.wrap(of_backup(), &key).await.map_err(Error::Key)?;
        Ok((Self { key, random: Arc::clone(&sealing.random) }, wrapped.as_str().to_owned()))
    }

    /// Unwraps the key that is stored with an existing backup.
    ///
    /// # Errors
    /// [`Error::Key`] if it was wrapped by another master key, or the master key is unavailable.
    pub async fn read(sealing: &Sealing, wrapped: &str) -> Result<Self, Error> {
        let key = sealing.master.unwrap(of_backup(), &Wrapped::read(wrapped)).await.map_err(Error::Key)?;
        Ok(Self { key, random: Arc::clone(&sealing.random) })
    }

    /// Encrypts the secrets in a row. They can be decrypted only for the same row.
    ///
    /// # Errors
    /// [`Error::Key`] if there is no randomness.
    pub fn seal(&self, of: &SideTable, row: &mut StoredRow) -> Result<(), Error> {
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

    /// Decrypts the secrets in a row, which [`seal`](Self::seal) encrypted.
    ///
    /// # Errors
    /// [`Error::Key`] if a secret belongs to another row, or was changed.
    pub fn open(&self, of: &SideTable, row: &mut StoredRow) -> Result<(), Error> {
        for column in of.secrets {
            let (tenant, subject) = (row.tenant, subject(of, column, row));
            if let Some(value) = row.columns.get_mut(*column).filter(|value| !value.is_null()) {
                let context = Context { tenant, purpose: PURPOSE, subject: &subject };
                let text = value.as_str().ok_or(Error::Key(keys::Error::DoesNotOpen))?;
                let opened = self.key.open(context, &Sealed::read(text)).map_err(Error::Key)?;
                // Without the error text of serde, which could quote a secret.
                *value = serde_json::from_slice(&opened)
                    .map_err(|_| Error::Corrupt(format!("what is sealed in {} is no JSON", of.table)))?;
            }
        }
        Ok(())
    }
}

/// The context in which the key of a backup is wrapped. It belongs to no tenant.
#[expect(clippy::disallowed_methods, reason = "nobody's: a backup is of all tenants")]
fn of_backup() -> Context<'static> {
    Context { tenant: TenantId::vouched(Uuid::nil()), purpose: PURPOSE, subject: "" }
}

/// Identifies a secret by table, column and the row's key.
fn subject(of: &SideTable, column: &str, row: &StoredRow) -> String {
    let key = of.key.iter().map(|column| row.columns.get(*column).map(Value::to_string).unwrap_or_default());
    format!("{}.{column}/{}", of.table, key.collect::<Vec<_>>().join("/"))
}

#[cfg(test)]
mod tests {
    use keys::{LocalMasterKey, SystemRandom};
    use serde_json::json;

    use super::*;

    const LAMPS: SideTable = SideTable {
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
