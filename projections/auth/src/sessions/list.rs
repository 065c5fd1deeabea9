//! Lists of sessions.

use chrono::{DateTime, TimeDelta, Utc};
use folding::table::{self, select};
use kernel::TenantId;
use sqlx::PgConnection;
use uuid::Uuid;

use super::row::{SessionRow, SessionsEndedRow};

/// At most `limit` sessions of a user that are valid at a time, newest first. Sessions end after `idle` without use.
pub async fn open_of(
    tables: &mut PgConnection,
    tenant: TenantId,
    user: Uuid,
    now: DateTime<Utc>,
    idle: TimeDelta,
    limit: i64,
) -> Result<Vec<SessionRow>, sqlx::Error> {
    let sql = format!(
        "{} WHERE t.tenant_id = $1 AND t.user_id = $2 AND t.ended_at IS NULL AND t.expires_at > $3
         AND t.used_at > $4
         AND NOT EXISTS (
             SELECT FROM sessions_ended e
             WHERE e.tenant_id = t.tenant_id AND e.user_id = t.user_id
               AND coalesce(e.era >= t.era, e.ended_at >= t.started_at)
         )
         ORDER BY t.session_id DESC LIMIT $5",
        select::<SessionRow>()
    );
    sqlx::query_as(&sql).bind(tenant.uuid()).bind(user).bind(now).bind(now - idle).bind(limit).fetch_all(tables).await
}

/// At most `limit` sessions of a user that began before the one with the id `after`, including ended ones, newest first. Also returns when
/// all sessions of the user were last ended at once.
pub async fn of_user(
    tables: &mut PgConnection,
    tenant: TenantId,
    user: Uuid,
    after: Option<Uuid>,
    limit: i64,
) -> Result<(Vec<SessionRow>, Option<SessionsEndedRow>), sqlx::Error> {
    let ended = table::load::<SessionsEndedRow>(&[(tenant.uuid(), user)], tables).await?.pop();
    let sql = format!(
        "{} WHERE t.tenant_id = $1 AND t.user_id = $2 AND ($3::uuid IS NULL OR t.session_id < $3)
         ORDER BY t.session_id DESC LIMIT $4",
        select::<SessionRow>()
    );
    let rows = sqlx::query_as(&sql).bind(tenant.uuid()).bind(user).bind(after).bind(limit).fetch_all(tables).await?;
    Ok((rows, ended))
}

/// The number of sessions of a user, including ended ones.
pub async fn count(tables: &mut PgConnection, tenant: TenantId, user: &Uuid) -> Result<i64, sqlx::Error> {
    let sql = "SELECT count(*) FROM session WHERE tenant_id = $1 AND user_id = $2";
    sqlx::query_scalar(sql).bind(tenant.uuid()).bind(user).fetch_one(tables).await
}
