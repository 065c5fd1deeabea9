//! The master keys that wrapped the tenants' keys of a log. The log knows them without a record of its own: each stored key begins with the
//! name of its master key, and is opened by that one only.

use kernel::{Service, TenantId};
use keys::{MasterKey, Wrapped};
use sqlx::postgres::{PgArguments, PgConnection, PgRow};
use sqlx::query::Query;
use sqlx::{ConnectOptions, Connection, Postgres, Row};

use crate::database::QUESTION;
use crate::{Database, Error, Role, within};

// The kind is written out in these statements, so that the index on these claims is used.

const ONE_OF_EACH: &str = "SELECT DISTINCT ON (split_part(holder, '.', 1)) tenant_id, holder
     FROM log.claims WHERE kind = 'log.tenant_key' ORDER BY split_part(holder, '.', 1)";

/// Several, as one of them may be lost.
const SOME_OF: &str = "SELECT tenant_id, holder
     FROM log.claims WHERE kind = 'log.tenant_key' AND split_part(holder, '.', 1) = $1 LIMIT 20";

/// As [`ONE_OF_EACH`], without the keys of one tenant.
const ONE_OF_EACH_BUT: &str = "SELECT DISTINCT ON (split_part(holder, '.', 1)) tenant_id, holder
     FROM log.claims WHERE kind = 'log.tenant_key' AND tenant_id <> $1 ORDER BY split_part(holder, '.', 1)";

const ALL: &str = "SELECT tenant_id, holder FROM log.claims WHERE kind = 'log.tenant_key' ORDER BY tenant_id";

const OF_TENANT: &str = "SELECT tenant_id, holder FROM log.claims WHERE tenant_id = $1 AND kind = 'log.tenant_key'";

/// A tenant and its stored key.
pub(crate) type TenantKey = (TenantId, Wrapped);

#[expect(clippy::disallowed_methods, reason = "the log says that these are tenants")]
fn tenant_key(row: &PgRow) -> Result<TenantKey, sqlx::Error> {
    Ok((TenantId::vouched(row.try_get(0)?), Wrapped::read(row.try_get(1)?)))
}

/// For each master key that wrapped any of the log's tenants' keys, one of these, in the order of the master keys' names. The role has to
/// see all tenants.
pub(crate) async fn one_of_each(connection: &mut PgConnection) -> Result<Vec<TenantKey>, sqlx::Error> {
    sqlx::query(ONE_OF_EACH).fetch_all(connection).await?.iter().map(tenant_key).collect()
}

/// As [`one_of_each`], of the other tenants than this one.
pub(crate) async fn one_of_each_but(
    connection: &mut PgConnection,
    tenant: TenantId,
) -> Result<Vec<TenantKey>, sqlx::Error> {
    sqlx::query(ONE_OF_EACH_BUT).bind(tenant.uuid()).fetch_all(connection).await?.iter().map(tenant_key).collect()
}

/// The stored key of a tenant, if it has one. The role has to see the tenant.
pub(crate) async fn of_tenant(connection: &mut PgConnection, tenant: TenantId) -> Result<Option<Wrapped>, sqlx::Error> {
    let row = sqlx::query(OF_TENANT).bind(tenant.uuid()).fetch_optional(connection).await?;
    Ok(row.as_ref().map(tenant_key).transpose()?.map(|(_, wrapped)| wrapped))
}

/// As [`one_of_each`], on a connection of its own.
pub(crate) async fn one_of_each_in(database: &Database) -> Result<Vec<TenantKey>, sqlx::Error> {
    within(QUESTION, ask(database, sqlx::query(ONE_OF_EACH))).await
}

/// Some of the log's tenants' keys that the master key of this name wrapped.
pub(crate) async fn some_of(database: &Database, name: &str) -> Result<Vec<TenantKey>, sqlx::Error> {
    within(QUESTION, ask(database, sqlx::query(SOME_OF).bind(name))).await
}

/// The keys of all of the log's tenants: there may be many.
pub(crate) async fn all(database: &Database) -> Result<Vec<TenantKey>, sqlx::Error> {
    ask(database, sqlx::query(ALL)).await
}

/// Reads tenants' keys on a connection of its own, as the role that sees all tenants' claims.
async fn ask(database: &Database, statement: Query<'_, Postgres, PgArguments>) -> Result<Vec<TenantKey>, sqlx::Error> {
    let mut connection = database.options(Role::Backup).disable_statement_logging().connect().await?;
    let found = statement.fetch_all(&mut connection).await;
    connection.close().await?;
    found?.iter().map(tenant_key).collect()
}

/// The names of those that `master` is not.
pub(crate) fn unknown<'f>(found: &'f [TenantKey], master: &dyn MasterKey) -> Vec<&'f str> {
    found.iter().map(|(_, wrapped)| wrapped.wrapped_by()).filter(|name| !master.unwraps(name)).collect()
}

/// Checks that `master` unwraps some of these, if there are any. By their names only: where the master key is, nobody is asked.
///
/// # Errors
/// [`Error::MasterKey`].
pub(crate) fn check(found: &[TenantKey], master: &dyn MasterKey) -> Result<(), Error> {
    let unknown = unknown(found, master);
    if found.is_empty() || unknown.len() < found.len() {
        return Ok(());
    }
    Err(Error::MasterKey { wrapped_by: unknown.join(" and "), ours: master.name().to_owned() })
}

/// As [`check`], for what the log of this service [answered](one_of_each_in). One that does not answer now passes.
///
/// # Errors
/// [`Error::MasterKey`].
pub(crate) fn check_answer(
    service: Service,
    found: Result<Vec<TenantKey>, sqlx::Error>,
    master: &dyn MasterKey,
) -> Result<(), Error> {
    let found = match found {
        Ok(found) => found,
        Err(error) => {
            tracing::debug!(%service, %error, "it is not known yet which master keys wrapped the keys in the log");
            return Ok(());
        }
    };
    check(&found, master)?;
    for wrapped_by in unknown(&found, master) {
        tracing::warn!(
            %service,
            wrapped_by,
            "this master key, which is not set here, wrapped keys of some tenants, whose personal data and sign-in do not work in this process"
        );
    }
    Ok(())
}
