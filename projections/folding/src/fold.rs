//! Folding a batch: loads each affected row once, applies the events in memory, and returns the rows, which the caller writes.

use std::collections::HashMap;

use kernel::RecordedEvent;
use projector::ApplyError;
use sqlx::PgConnection;

use crate::change::Change;
use crate::table::{self, Key, Table};

/// The row of a read model that has the current state of an aggregate.
pub trait Current: Table + Clone {
    /// The aggregate's events.
    type Event;

    /// A further SQL condition (` AND …`) that selects the current row, if the table has several rows per aggregate.
    const CONDITION: &'static str = "";

    /// The tenant and aggregate of the row.
    fn key(&self) -> Key;

    /// The aggregate's version in the row.
    fn version(&self) -> i64;

    /// The row after the first event of a stream; `None` when no stream can begin with this event.
    fn begin(change: &Change<'_, Self::Event>) -> Option<Self>;

    /// Applies a later event to the row. Sets version and time of change, too.
    fn evolve(&mut self, change: &Change<'_, Self::Event>);
}

/// A row with personal data in clear text, which an erasure has to remove.
pub trait Erasable: Current {
    /// Removes the personal data. The row is then as if it had been made from events whose personal values can no longer be decrypted.
    fn forget(&mut self);
}

/// Removes the personal data from the row of the aggregate that an event erases: what `forgets by` of [`projection!`](crate::projection!)
/// names if nothing else depends on that row.
///
/// # Errors
/// Errors of the database.
pub async fn forget<C: Erasable>(event: &RecordedEvent, tables: &mut PgConnection) -> Result<(), ApplyError> {
    forgotten::<C>(event, tables).await.map(drop)
}

/// As [`forget`], and returns the row, for tables that are made from it.
///
/// # Errors
/// Errors of the database.
pub async fn forgotten<C: Erasable>(event: &RecordedEvent, tables: &mut PgConnection) -> Result<Folded<C>, ApplyError> {
    // An id that is not a UUID has no row here.
    let key = event.aggregate_id.parse().map(|id| (event.tenant.uuid(), id));
    let keys: Vec<Key> = key.into_iter().collect();
    let before = table::load_where::<C>(&keys, C::CONDITION, tables).await?;
    let mut after = before.clone();
    after.iter_mut().for_each(C::forget);
    table::upsert(&after, tables).await?;
    Ok(Folded { before, after })
}

/// Applies the changes in order and returns the affected rows, as they were before and as they are after the batch.
///
/// `each` is called for every change with the row after it, for tables that keep more than the current state.
/// A change whose stream has a gap before it is poison: it has to wait for the missing event.
pub async fn fold<C: Current>(
    changes: &[Change<'_, C::Event>],
    tables: &mut PgConnection,
    mut each: impl FnMut(&Change<'_, C::Event>, &C) -> Result<(), ApplyError> + Send,
) -> Result<Folded<C>, ApplyError> {
    // Streams that begin within the batch have no row yet. In a rebuild that is true of most, so it loads almost no rows.
    let mut begun: HashMap<Key, bool> = HashMap::new();
    for change in changes {
        begun.entry(change.key).or_insert(change.version == 1);
    }
    let before: Vec<Key> = begun.iter().filter(|(_, begins)| !**begins).map(|(key, _)| *key).collect();
    let before = table::load_where::<C>(&before, C::CONDITION, tables).await?;
    let mut rows: HashMap<Key, C> = before.iter().cloned().map(|row| (row.key(), row)).collect();

    for change in changes {
        let row = match rows.get_mut(&change.key) {
            Some(row) if change.follows(row.version()) => {
                row.evolve(change);
                row
            }
            Some(row) => {
                let reason = format!("it is version {} of an aggregate that is at {}", change.version, row.version());
                return Err(change.poison(reason));
            }
            None if change.follows(0) => {
                let row = C::begin(change).ok_or_else(|| change.poison("no history begins with this event"))?;
                rows.entry(change.key).or_insert(row)
            }
            None => return Err(change.poison(format!("version {} of an aggregate unknown here", change.version))),
        };
        each(change, row)?;
    }
    let mut after: Vec<C> = rows.into_values().collect();
    // Sorted by key, so that neighbouring index entries are written together.
    after.sort_unstable_by_key(Current::key);
    Ok(Folded { before, after })
}

/// The rows that a batch affected.
pub struct Folded<C> {
    /// The rows before the batch, without those that begin in it.
    pub before: Vec<C>,
    /// The rows after the batch, in the order of their keys.
    pub after: Vec<C>,
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use chrono::{DateTime, Utc};
    use eventstore::EventStore;
    use kernel::{Aggregate, Position, RecordedEvent, SystemClock};
    use sqlx::types::Json;
    use sqlx::{Connection, Executor};
    use testbed::lanterns::{self, Lantern, LanternEvent};
    use uuid::Uuid;

    use super::*;
    use crate::as_of::End;
    use crate::history::{self, Kept, Version};
    use crate::table;

    table! {
        /// The current state of a lantern.
        pub struct LanternRow in "lantern" key ("tenant_id", "lantern_id") {
            pub tenant_id: Uuid = "uuid",
            pub lantern_id: Uuid = "uuid",
            pub version: i64 = "bigint",
            pub state: Json<Lantern> = "jsonb",
        }
    }

    table! {
        /// A version of a lantern.
        pub struct LanternHistoryRow in "lantern_history" key ("tenant_id", "lantern_id", "version") {
            pub tenant_id: Uuid = "uuid",
            pub lantern_id: Uuid = "uuid",
            pub version: i64 = "bigint",
            pub state: Json<Lantern> = "jsonb",
            pub valid_from: DateTime<Utc> = "timestamptz",
            pub valid_to: End = "timestamptz",
            pub known_to: End = "timestamptz",
        }
    }

    const TABLES: &str = "
        CREATE TEMP TABLE lantern (tenant_id uuid, lantern_id uuid, version bigint, state jsonb,
            PRIMARY KEY (tenant_id, lantern_id));
        CREATE TEMP TABLE lantern_history (tenant_id uuid, lantern_id uuid, version bigint, state jsonb,
            valid_from timestamptz, valid_to timestamptz, known_to timestamptz,
            PRIMARY KEY (tenant_id, lantern_id, version))";

    impl Version for LanternHistoryRow {
        fn close(&mut self, valid_to: End, known_to: End) {
            (self.valid_to, self.known_to) = (valid_to, known_to);
        }
    }

    impl Current for LanternRow {
        type Event = LanternEvent;

        fn key(&self) -> Key {
            (self.tenant_id, self.lantern_id)
        }

        fn version(&self) -> i64 {
            self.version
        }

        fn begin(change: &Change<'_, LanternEvent>) -> Option<Self> {
            let LanternEvent::Bought(_) = &change.event else { return None };
            let (tenant_id, lantern_id) = change.key;
            let mut row = Self { tenant_id, lantern_id, version: 0, state: Json(Lantern::default()) };
            row.evolve(change);
            Some(row)
        }

        fn evolve(&mut self, change: &Change<'_, LanternEvent>) {
            self.version = change.version;
            self.state.0.evolve(change.event.clone());
        }
    }

    impl Kept for LanternRow {
        type Version = LanternHistoryRow;

        fn kept(&self, change: &Change<'_, LanternEvent>) -> Result<LanternHistoryRow, ApplyError> {
            let Self { tenant_id, lantern_id, version, state } = self.clone();
            let (valid_from, valid_to, known_to) = (change.occurred_at, End(None), End(None));
            Ok(LanternHistoryRow { tenant_id, lantern_id, version, state, valid_from, valid_to, known_to })
        }
    }

    /// Applies a history in batches of this size. Returns the current rows and the history rows.
    async fn applied(history: &[RecordedEvent], batch: usize) -> (Vec<LanternRow>, Vec<LanternHistoryRow>) {
        let mut tables = PgConnection::connect_with(&testbed::postgres()).await.unwrap();
        tables.execute(TABLES).await.unwrap();
        for events in history.chunks(batch) {
            let events: Vec<_> = events.iter().collect();
            history::apply::<LanternRow>(&events, &mut tables).await.unwrap();
        }
        let now = format!("{} ORDER BY lantern_id", table::select::<LanternRow>());
        let was = format!("{} ORDER BY lantern_id, version", table::select::<LanternHistoryRow>());
        (
            sqlx::query_as(&now).fetch_all(&mut tables).await.unwrap(),
            sqlx::query_as(&was).fetch_all(&mut tables).await.unwrap(),
        )
    }

    #[tokio::test]
    async fn the_parts_of_an_upcast_make_one_version_however_the_history_is_cut() {
        let database = testbed::Database::fresh("crm").await;
        let settings = eventstore::Settings::default();
        let store = EventStore::open(&database, settings, Arc::new(SystemClock)).await.unwrap();
        lanterns::append(&store, testbed::tenant()).await;
        let history = store.read_after(Position::START, 100).await.unwrap();
        let (now, was) = applied(&history, history.len()).await;
        for (row, (id, lantern, version)) in now.iter().zip(lanterns::today()) {
            assert_eq!((row.lantern_id.to_string().as_str(), &row.state.0), (id, &lantern));
            assert_eq!(row.version, version.cast_signed());
        }
        // A version has the state after its last part, and is closed by the next version.
        assert_eq!(was.len(), history.len());
        for pair in was.windows(2).filter(|pair| pair[0].lantern_id == pair[1].lantern_id) {
            assert_eq!(pair[0].version + 1, pair[1].version);
            assert_eq!(pair[0].valid_to, End(Some(pair[1].valid_from)));
        }
        let red = was.iter().find(|row| row.state.0.colour == "red").unwrap();
        assert_eq!((red.version, red.state.0.brightness), (2, 100));
        for batch in 1..history.len() {
            assert_eq!(applied(&history, batch).await, (now.clone(), was.clone()), "in batches of {batch}");
        }
    }
}
