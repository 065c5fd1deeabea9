//! Backup of a service's webhooks, together with its log. Each continues from its cursor. Deliveries and stored answers to requests are not
//! in it.

use deadletters::backup::StoredLetter;
use eventstore::backup::{SideTable, Snapshot};
use serde_json::{Map, Value};

/// The tables in a backup. URLs are encrypted, too, because many receivers trust everybody who knows their URL.
pub const TABLES: &[SideTable] = &[
    SideTable {
        table: "webhooks.endpoints",
        key: &["endpoint_id"],
        only: None,
        secrets: &["url", "secret", "former_secret"],
        restored: |_| {},
    },
    SideTable { table: "webhooks.cursors", key: &["endpoint_id"], only: None, secrets: &[], restored: reset_failures },
    SideTable {
        table: "webhooks.changes",
        key: &["endpoint_id", "version"],
        only: None,
        secrets: &["detail"],
        restored: |_| {},
    },
];

/// Resets the failures: the first event is sent at once, and the time until the endpoint is disabled starts again, however old the backup
/// is.
fn reset_failures(cursor: &mut Map<String, Value>) {
    cursor.insert("attempts".to_owned(), 0.into());
    for column in ["failing_since", "next_attempt_at"] {
        cursor.insert(column.to_owned(), Value::Null);
    }
}

/// The parked events of webhooks. The cursors are past them.
///
/// # Errors
/// The tables don't answer.
pub async fn waiting(snapshot: &mut Snapshot) -> Result<Vec<StoredLetter>, sqlx::Error> {
    deadletters::backup::waiting(snapshot, "webhook.").await
}
