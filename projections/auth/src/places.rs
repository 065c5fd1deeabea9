//! Client addresses and user agents of people (a `Place`). They are personal data and are removed when the account is erased.

use kernel::{Personal, RecordedEvent};
use projector::ApplyError;
use sqlx::PgConnection;
use uuid::Uuid;

/// The type of the event that erases an account. The id of its aggregate is the user's.
pub(crate) const ERASED: &str = "auth.account.erased";

/// A personal text; `None` if it is missing or can no longer be decrypted.
pub(crate) fn known(text: Option<&Personal<String>>) -> Option<String> {
    text.and_then(Personal::known).cloned()
}

/// Removes addresses and user agents from the rows in `table` of the users whom these events erase. Later events of these users have none.
pub(crate) async fn forget(
    table: &str,
    events: &[&RecordedEvent],
    tables: &mut PgConnection,
) -> Result<(), ApplyError> {
    let erased = events.iter().filter(|event| event.event_type == ERASED);
    let (mut tenants, mut users) = (Vec::<Uuid>::new(), Vec::<Uuid>::new());
    for event in erased {
        let Ok(user) = event.aggregate_id.parse() else { continue };
        tenants.push(event.tenant.uuid());
        users.push(user);
    }
    if users.is_empty() {
        return Ok(());
    }
    // Uses the index on (tenant_id, user_id, …).
    let sql = format!(
        "UPDATE {table} t SET address = NULL, agent = NULL
         FROM unnest($1::uuid[], $2::uuid[]) AS e (tenant_id, user_id)
         WHERE t.tenant_id = e.tenant_id AND t.user_id = e.user_id"
    );
    sqlx::query(&sql).bind(tenants).bind(users).execute(tables).await?;
    Ok(())
}
