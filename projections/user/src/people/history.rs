//! What happened to a user, and how users stood at any time.

use folding::as_of::AsOf;
use folding::table::select;
use kernel::{TenantId, UserId};
use sqlx::PgConnection;
use uuid::Uuid;

use super::row::PersonHistoryRow;

/// A user's changes after version `after`, first to last, at most `limit`; an unknown user has none.
pub async fn history(
    tables: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
    after: i64,
    limit: i64,
) -> Result<Vec<PersonHistoryRow>, sqlx::Error> {
    let sql = format!(
        "{} WHERE t.tenant_id = $1 AND t.user_id = $2 AND t.version > $3 ORDER BY t.version LIMIT $4",
        select::<PersonHistoryRow>()
    );
    sqlx::query_as(&sql).bind(tenant.uuid()).bind(user.uuid()).bind(after).bind(limit).fetch_all(tables).await
}

/// How a user stood as of a moment; `None`: they were not there, or not known.
pub async fn standing(
    tables: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
    as_of: AsOf,
) -> Result<Option<PersonHistoryRow>, sqlx::Error> {
    Ok(standings(tables, tenant, &[user.uuid()], as_of).await?.pop())
}

/// How users stood as of a moment; those who were not there, or not known, are left out.
pub async fn standings(
    tables: &mut PgConnection,
    tenant: TenantId,
    users: &[Uuid],
    as_of: AsOf,
) -> Result<Vec<PersonHistoryRow>, sqlx::Error> {
    // User by user along the primary key: each has few versions. OFFSET 0 keeps the planner from turning this round.
    let sql = format!(
        "SELECT s.* FROM UNNEST($4::uuid[]) AS u (id) CROSS JOIN LATERAL (
             {} WHERE t.tenant_id = $1 AND t.user_id = u.id AND {} OFFSET 0
         ) s",
        select::<PersonHistoryRow>(),
        as_of.condition()
    );
    let query = sqlx::query_as(&sql).bind(tenant.uuid()).bind(as_of.at).bind(as_of.known);
    query.bind(users).fetch_all(tables).await
}
