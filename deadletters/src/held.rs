//! A consumer's in-memory set of aggregates with parked events, so that it need not ask the database about each event.

use std::collections::HashSet;

use kernel::{RecordedEvent, TenantId};
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use crate::{Consumer, Entry, Share, Taken};

/// An aggregate: tenant, type and id.
type Key = (Uuid, String, String);

/// The aggregates that have events parked for a consumer.
#[derive(Clone, Debug, Default)]
pub struct Held(HashSet<Key>);

impl Held {
    /// Loads the set from the database.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn load(connection: &mut PgConnection, consumer: &Consumer, share: Share) -> Result<Self, sqlx::Error> {
        // Uses the index letters_due, which has a consumer's parked letters.
        let rows = sqlx::query(
            "SELECT tenant_id, aggregate_type, aggregate_id FROM dead.letters
             WHERE consumer = $1 AND state = 'parked' AND get_byte(uuid_send(tenant_id), 15) & ($3 - 1) = $2",
        )
        .bind(consumer.as_str())
        .bind(share.number.cast_signed())
        .bind(share.of.cast_signed())
        .fetch_all(connection)
        .await?;
        let keys = rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?)));
        Ok(Self(keys.collect::<Result<_, sqlx::Error>>()?))
    }

    /// Whether an event has to wait for an earlier one of its aggregate.
    pub fn holds(&self, event: &RecordedEvent) -> bool {
        // The set is nearly always empty, and then no key is built.
        !self.0.is_empty() && self.0.contains(&key(event.tenant, &event.aggregate_type, &event.aggregate_id))
    }

    /// Adds the aggregate of an event that was parked.
    pub fn add(&mut self, entry: &Entry) {
        self.0.insert(key(entry.tenant, &entry.aggregate_type, &entry.aggregate_id));
    }

    /// Removes an aggregate whose events have all been processed or discarded.
    pub fn remove(&mut self, taken: &Taken) {
        self.0.remove(&key(taken.tenant, &taken.aggregate_type, &taken.aggregate_id));
    }

    /// The number of aggregates.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether no aggregate has parked events.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn key(tenant: TenantId, aggregate_type: &str, aggregate_id: &str) -> Key {
    (tenant.uuid(), aggregate_type.to_owned(), aggregate_id.to_owned())
}
