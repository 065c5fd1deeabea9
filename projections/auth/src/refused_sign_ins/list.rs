//! Lists of refused sign-ins.

use folding::table::select;
use kernel::TenantId;
use sqlx::PgConnection;
use uuid::Uuid;

use super::row::RefusedSignInRow;

/// At most `limit` refused sign-ins to a user's account, or with an unknown name if `user` is `None`, that come before the one with the id
/// `after`, newest first.
pub async fn of_user(
    tables: &mut PgConnection,
    tenant: TenantId,
    user: Option<Uuid>,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<RefusedSignInRow>, sqlx::Error> {
    let sql = format!(
        "{} WHERE t.tenant_id = $1 AND {} AND ($3::uuid IS NULL OR t.sign_in_id < $3)
         ORDER BY t.sign_in_id DESC LIMIT $4",
        select::<RefusedSignInRow>(),
        whose(user)
    );
    sqlx::query_as(&sql).bind(tenant.uuid()).bind(user).bind(after).bind(limit).fetch_all(tables).await
}

/// The number of refused sign-ins to a user's account, or with an unknown name if `user` is `None`.
pub async fn count(tables: &mut PgConnection, tenant: TenantId, user: &Option<Uuid>) -> Result<i64, sqlx::Error> {
    let sql = format!("SELECT count(*) FROM refused_sign_in t WHERE t.tenant_id = $1 AND {}", whose(*user));
    sqlx::query_scalar(&sql).bind(tenant.uuid()).bind(*user).fetch_one(tables).await
}

/// The SQL condition for a user, which is the second parameter. There are two forms because `IS NOT DISTINCT FROM` would not use the index.
const fn whose(user: Option<Uuid>) -> &'static str {
    if user.is_some() { "t.user_id = $2" } else { "t.user_id IS NULL AND $2::uuid IS NULL" }
}
