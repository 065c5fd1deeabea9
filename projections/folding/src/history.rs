//! History rows: one a version of an aggregate, each closed by the next on both axes of time.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use kernel::TenantId;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::as_of::End;
use crate::change::Change;
use crate::table::{self, Key, Table};

/// A row that says how something was from one version to the next.
pub trait Version: Table {
    /// Sets when the next version began and when that was known.
    fn close(&mut self, valid_to: End, known_to: End);
}

/// The versions that a batch adds.
pub struct History<V> {
    added: Vec<V>,
    last: HashMap<Key, usize>,
    closed: Vec<Closed>,
}

/// A version of an earlier batch that one of this batch closes.
struct Closed {
    key: Key,
    version: i64,
    valid_to: DateTime<Utc>,
    known_to: DateTime<Utc>,
}

impl<V: Version> History<V> {
    /// Nothing added yet, room for `capacity` versions.
    pub fn with_capacity(capacity: usize) -> Self {
        Self { added: Vec::with_capacity(capacity), last: HashMap::with_capacity(capacity), closed: Vec::new() }
    }

    /// Adds the version that `change` made and closes the one before it. A further part of the same change makes the same
    /// version, which is then as after the last part.
    pub fn add<E>(&mut self, change: &Change<'_, E>, version: V) {
        if change.part > 0
            && let Some(same) = self.last.get(&change.key).and_then(|last| self.added.get_mut(*last))
        {
            *same = version;
            return;
        }
        let (valid_to, known_to) = (change.occurred_at, change.recorded_at);
        match self.last.insert(change.key, self.added.len()).and_then(|last| self.added.get_mut(last)) {
            Some(previous) => previous.close(End(Some(valid_to)), End(Some(known_to))),
            None if change.version > 1 => {
                self.closed.push(Closed { key: change.key, version: change.version - 1, valid_to, known_to });
            }
            None => {}
        }
        self.added.push(version);
    }

    /// Writes what was added and closed.
    pub async fn write(&self, tables: &mut PgConnection) -> Result<(), sqlx::Error> {
        self.write_closed(tables).await?;
        table::insert(&self.added, tables).await
    }

    async fn write_closed(&self, tables: &mut PgConnection) -> Result<(), sqlx::Error> {
        if self.closed.is_empty() {
            return Ok(());
        }
        // Found row by row along the index and then by their place: a plain join may become a scan of all history of these
        // tenants while the table has no statistics.
        let sql = format!(
            "UPDATE {table} h SET valid_to = c.valid_to, known_to = c.known_to \
             FROM (SELECT f.place, k.valid_to, k.known_to \
                   FROM UNNEST($1::uuid[], $2::uuid[], $3::bigint[], $4::timestamptz[], $5::timestamptz[]) \
                        AS k (tenant_id, id, version, valid_to, known_to) \
                   CROSS JOIN LATERAL (SELECT o.ctid AS place FROM {table} o \
                                       WHERE o.tenant_id = k.tenant_id AND o.{id} = k.id AND o.version = k.version \
                                       OFFSET 0) f) c \
             WHERE h.ctid = c.place",
            table = V::NAME,
            id = V::KEY.get(1).copied().unwrap_or_default(),
        );
        sqlx::query(&sql)
            .bind(self.closed.iter().map(|c| c.key.0).collect::<Vec<_>>())
            .bind(self.closed.iter().map(|c| c.key.1).collect::<Vec<_>>())
            .bind(self.closed.iter().map(|c| c.version).collect::<Vec<_>>())
            .bind(self.closed.iter().map(|c| c.valid_to).collect::<Vec<_>>())
            .bind(self.closed.iter().map(|c| c.known_to).collect::<Vec<_>>())
            .execute(tables)
            .await?;
        Ok(())
    }
}

/// The versions of these aggregates that the log knew at some time between two, in the order of each history; without an end: until
/// now.
pub async fn during<V: Version>(
    tables: &mut PgConnection,
    tenant: TenantId,
    ids: &[Uuid],
    (from, until): (DateTime<Utc>, Option<DateTime<Utc>>),
) -> Result<Vec<V>, sqlx::Error> {
    // One by one along the primary key: each has few versions. OFFSET 0 keeps the planner from turning this round.
    let sql = format!(
        "SELECT s.* FROM UNNEST($2::uuid[]) AS k (id) CROSS JOIN LATERAL (
             {} WHERE t.tenant_id = $1 AND t.{} = k.id AND t.known_to >= $3
                AND ($4::timestamptz IS NULL OR t.known_from < $4) OFFSET 0
         ) s ORDER BY s.version",
        table::select::<V>(),
        V::KEY.get(1).copied().unwrap_or_default(),
    );
    sqlx::query_as(&sql).bind(tenant.uuid()).bind(ids).bind(from).bind(until).fetch_all(tables).await
}
