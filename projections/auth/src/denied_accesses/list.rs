//! Lists of denied requests.

use folding::table::select;
use kernel::TenantId;
use sqlx::PgConnection;
use uuid::Uuid;

use super::row::DeniedAccessRow;

/// At most `limit` denials of a subject, or of all subjects if it is `None`, that come before the one with the id `after`, newest first.
pub async fn of_subject(
    tables: &mut PgConnection,
    tenant: TenantId,
    subject: Option<&str>,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<DeniedAccessRow>, sqlx::Error> {
    let sql = format!(
        "{} WHERE t.tenant_id = $1 AND {} AND ($3::uuid IS NULL OR t.access_id < $3)
         ORDER BY t.access_id DESC LIMIT $4",
        select::<DeniedAccessRow>(),
        whose(subject)
    );
    sqlx::query_as(&sql).bind(tenant.uuid()).bind(subject).bind(after).bind(limit).fetch_all(tables).await
}

/// The number of denials of a subject, or of all subjects if it is `None`.
pub async fn count(tables: &mut PgConnection, tenant: TenantId, subject: &Option<String>) -> Result<i64, sqlx::Error> {
    let whose = whose(subject.as_deref());
    let sql = format!("SELECT count(*) FROM denied_access t WHERE t.tenant_id = $1 AND {whose}");
    sqlx::query_scalar(&sql).bind(tenant.uuid()).bind(subject).fetch_one(tables).await
}

/// The SQL condition for a subject, which is the second parameter. The query then uses the index on the subject, or the primary key.
const fn whose(subject: Option<&str>) -> &'static str {
    if subject.is_some() { "t.subject = $2" } else { "$2::text IS NULL" }
}

/// At most `limit` denials of a user, newest first.
pub async fn of_user(
    tables: &mut PgConnection,
    tenant: TenantId,
    user: Uuid,
    limit: i64,
) -> Result<Vec<DeniedAccessRow>, sqlx::Error> {
    let sql = format!(
        "{} WHERE t.tenant_id = $1 AND t.user_id = $2 ORDER BY t.access_id DESC LIMIT $3",
        select::<DeniedAccessRow>()
    );
    sqlx::query_as(&sql).bind(tenant.uuid()).bind(user).bind(limit).fetch_all(tables).await
}
