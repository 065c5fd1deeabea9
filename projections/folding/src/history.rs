//! History rows: one for each version of an aggregate, closed by the next version on both time axes.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use kernel::{Event, RecordedEvent, TenantId};
use projector::ApplyError;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::as_of::{AsOf, End};
use crate::change::{Change, decode};
use crate::fold::{Current, fold};
use crate::table::{self, Key, Table};

/// A history row: the state of an aggregate from one version to the next.
pub trait Version: Table {
    /// Sets when the next version began, and when the log recorded it.
    fn close(&mut self, valid_to: End, known_to: End);
}

/// Declares the row type of a table of versions: as [`table!`](crate::table!), with the columns of both time axes after the others, and with
/// its [`Version`].
#[macro_export]
macro_rules! version_table {
    (
        $(#[$meta:meta])*
        pub struct $row:ident in $table:literal key ($($key:literal),+) {
            $($(#[$field_meta:meta])* pub $field:ident : $ty:ty = $sql:literal),+ $(,)?
        }
    ) => {
        $crate::table! {
            $(#[$meta])*
            pub struct $row in $table key ($($key),+) {
                $($(#[$field_meta])* pub $field: $ty = $sql,)+
                /// When it happened.
                pub valid_from: ::chrono::DateTime<::chrono::Utc> = "timestamptz",
                /// When the next change happened.
                pub valid_to: $crate::End = "timestamptz",
                /// When the log recorded it.
                pub known_from: ::chrono::DateTime<::chrono::Utc> = "timestamptz",
                /// When the log recorded the next change.
                pub known_to: $crate::End = "timestamptz",
            }
        }

        impl $crate::history::Version for $row {
            fn close(&mut self, valid_to: $crate::End, known_to: $crate::End) {
                (self.valid_to, self.known_to) = (valid_to, known_to);
            }
        }
    };
}

/// A record of which each version is kept.
pub trait Kept: Current {
    /// The row of a version.
    type Version: Version;

    /// The version that `change` made of the record, which is as it is after that change.
    ///
    /// # Errors
    /// Poison, if the event does not tell what the version shows.
    fn kept(&self, change: &Change<'_, Self::Event>) -> Result<Self::Version, ApplyError>;
}

/// Applies a batch of events to the records, and keeps each version of them.
///
/// # Errors
/// Poison, and errors of the database.
pub async fn apply<R: Kept>(events: &[&RecordedEvent], tables: &mut PgConnection) -> Result<(), ApplyError>
where
    R::Event: Event,
{
    let changes = decode::<R::Event>(events)?;
    let mut history = History::with_capacity(changes.len());
    let folded = fold::<R>(&changes, tables, |change, row| {
        history.add(change, row.kept(change)?);
        Ok(())
    })
    .await?;
    table::upsert(&folded.after, tables).await?;
    Ok(history.write(tables).await?)
}

/// The versions that a batch adds and closes.
pub struct History<V> {
    added: Vec<V>,
    last: HashMap<Key, usize>,
    closed: Vec<Closed>,
}

/// A version of an earlier batch that a version of this batch closes.
struct Closed {
    key: Key,
    version: i64,
    valid_to: DateTime<Utc>,
    known_to: DateTime<Utc>,
}

impl<V: Version> History<V> {
    /// An empty history with room for `capacity` versions.
    pub fn with_capacity(capacity: usize) -> Self {
        Self { added: Vec::with_capacity(capacity), last: HashMap::with_capacity(capacity), closed: Vec::new() }
    }

    /// Adds the version that `change` makes and closes the one before it. A further part of an upcast event replaces the version that its
    /// earlier parts made.
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

    /// Writes the added versions, and the ends of the closed ones.
    pub async fn write(&self, tables: &mut PgConnection) -> Result<(), sqlx::Error> {
        self.write_closed(tables).await?;
        table::insert(&self.added, tables).await
    }

    async fn write_closed(&self, tables: &mut PgConnection) -> Result<(), sqlx::Error> {
        if self.closed.is_empty() {
            return Ok(());
        }
        // Finds the rows one by one in the index, then updates them by `ctid`. A plain join may become a scan of the tenants' whole history
        // while the table has no statistics.
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

/// At most `limit` versions of an aggregate after version `after`, in the order of versions. An unknown aggregate has none.
pub async fn versions<V: Version>(
    tables: &mut PgConnection,
    tenant: TenantId,
    id: Uuid,
    after: i64,
    limit: i64,
) -> Result<Vec<V>, sqlx::Error> {
    let sql = format!(
        "{} WHERE t.tenant_id = $1 AND t.{} = $2 AND t.version > $3 ORDER BY t.version LIMIT $4",
        table::select::<V>(),
        V::KEY.get(1).copied().unwrap_or_default(),
    );
    sqlx::query_as(&sql).bind(tenant.uuid()).bind(id).bind(after).bind(limit).fetch_all(tables).await
}

/// The versions of these aggregates that the log knew at some time between `from` and `until`, in the order of versions. `until` is `None`
/// for now.
pub async fn during<V: Version>(
    tables: &mut PgConnection,
    tenant: TenantId,
    ids: &[Uuid],
    (from, until): (DateTime<Utc>, Option<DateTime<Utc>>),
) -> Result<Vec<V>, sqlx::Error> {
    let condition = "t.known_to >= $3 AND ($4::timestamptz IS NULL OR t.known_from < $4)";
    let sql = format!("{} ORDER BY s.version", one_by_one::<V>("$2", condition));
    sqlx::query_as(&sql).bind(tenant.uuid()).bind(ids).bind(from).bind(until).fetch_all(tables).await
}

/// The versions of these aggregates as of a moment, in no particular order, without those that did not exist or were not known then.
pub async fn versions_as_of<V: Version>(
    tables: &mut PgConnection,
    tenant: TenantId,
    ids: &[Uuid],
    as_of: AsOf,
) -> Result<Vec<V>, sqlx::Error> {
    let sql = one_by_one::<V>("$4", as_of.condition());
    sqlx::query_as(&sql).bind(tenant.uuid()).bind(as_of.at).bind(as_of.known).bind(ids).fetch_all(tables).await
}

/// The query of those versions of several aggregates that meet a condition; `$1` is the tenant, `ids` the parameter with the aggregates.
fn one_by_one<V: Version>(ids: &str, condition: &str) -> String {
    // Looked up one by one by the primary key, since each has few versions. OFFSET 0 keeps the planner from reordering the join.
    format!(
        "SELECT s.* FROM UNNEST({ids}::uuid[]) AS k (id) CROSS JOIN LATERAL (
             {} WHERE t.tenant_id = $1 AND t.{} = k.id AND {condition} OFFSET 0
         ) s",
        table::select::<V>(),
        V::KEY.get(1).copied().unwrap_or_default(),
    )
}
