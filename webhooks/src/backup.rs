//! A service's webhooks: taken out with its log, and brought in again with it.
//!
//! Each goes on from where it was. What was tried, and first answers to requests, are not taken along.

use deadletters::backup::StoredLetter;
use eventstore::backup::{Beside, Snapshot};
use serde_json::{Map, Value};

/// The tables that are taken along. Addresses are secrets, too: many a receiver takes whoever knows its address at their word.
pub const TABLES: &[Beside] = &[
    Beside {
        table: "webhooks.endpoints",
        key: &["endpoint_id"],
        only: None,
        secrets: &["url", "secret", "former_secret"],
        restored: |_| {},
    },
    Beside { table: "webhooks.cursors", key: &["endpoint_id"], only: None, secrets: &[], restored: patient },
    Beside {
        table: "webhooks.changes",
        key: &["endpoint_id", "version"],
        only: None,
        secrets: &["detail"],
        restored: |_| {},
    },
];

/// What failed is tried at once, and with all the patience there was at first, however long ago the backup was taken.
fn patient(cursor: &mut Map<String, Value>) {
    cursor.insert("attempts".to_owned(), 0.into());
    for column in ["failing_since", "next_attempt_at"] {
        cursor.insert(column.to_owned(), Value::Null);
    }
}

/// Events that wait because a receiver refused them, or one before them: the cursors are past these.
///
/// # Errors
/// When the tables don't answer.
pub async fn waiting(snapshot: &mut Snapshot) -> Result<Vec<StoredLetter>, sqlx::Error> {
    deadletters::backup::waiting(snapshot, "webhook.").await
}
