//! The changes of a user, and users as of any time.

use folding::as_of::AsOf;
use folding::history;
use kernel::{TenantId, UserId};
use sqlx::PgConnection;
use uuid::Uuid;

use super::row::PersonHistoryRow;

/// At most `limit` changes of a user after version `after`, in the order of versions. An unknown user has none.
pub async fn history(
    tables: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
    after: i64,
    limit: i64,
) -> Result<Vec<PersonHistoryRow>, sqlx::Error> {
    history::versions(tables, tenant, user.uuid(), after, limit).await
}

/// The version of a user as of a moment; `None` if the user did not exist or was not known then.
pub async fn version_as_of(
    tables: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
    as_of: AsOf,
) -> Result<Option<PersonHistoryRow>, sqlx::Error> {
    Ok(versions_as_of(tables, tenant, &[user.uuid()], as_of).await?.pop())
}

/// The versions of users as of a moment, without users who did not exist or were not known then.
pub async fn versions_as_of(
    tables: &mut PgConnection,
    tenant: TenantId,
    users: &[Uuid],
    as_of: AsOf,
) -> Result<Vec<PersonHistoryRow>, sqlx::Error> {
    history::versions_as_of(tables, tenant, users, as_of).await
}
