//! Folding a batch: load each touched row once, apply the events in memory, give the rows back to be written.

use std::collections::HashMap;

use projector::ApplyError;
use sqlx::PgConnection;

use crate::change::Change;
use crate::table::{self, Key, Table};

/// The current state of an aggregate as a read model keeps it: one row.
pub(crate) trait Current: Table + Clone {
    /// The aggregate's events.
    type Event;

    /// Which of an aggregate's rows is the current one, where the table has several.
    const CONDITION: &'static str = "";

    /// Whose row it is.
    fn key(&self) -> Key;

    /// The version that the row shows.
    fn version(&self) -> i64;

    /// The row after a stream's first event; `None`: no stream begins with this one.
    fn begin(change: &Change<'_, Self::Event>) -> Option<Self>;

    /// The row after a further event, version and time of change included.
    fn evolve(&mut self, change: &Change<'_, Self::Event>);
}

/// Applies the changes in order and returns the rows they touched, as they are at the end.
///
/// `each` sees every change with the row after it, for the tables that keep more than the current state.
/// A change whose stream has a gap before it is poison: its place is behind the missing one.
pub(crate) async fn fold<C: Current>(
    changes: &[Change<'_, C::Event>],
    tables: &mut PgConnection,
    mut each: impl FnMut(&Change<'_, C::Event>, &C) -> Result<(), ApplyError> + Send,
) -> Result<Folded<C>, ApplyError> {
    // Streams that begin within the batch have no row yet; a rebuild, where most do, so reads next to nothing.
    let mut begun: HashMap<Key, bool> = HashMap::new();
    for change in changes {
        begun.entry(change.key).or_insert(change.version == 1);
    }
    let before: Vec<Key> = begun.iter().filter(|(_, begins)| !**begins).map(|(key, _)| *key).collect();
    let before = table::load_where::<C>(&before, C::CONDITION, tables).await?;
    let mut rows: HashMap<Key, C> = before.iter().cloned().map(|row| (row.key(), row)).collect();

    for change in changes {
        let row = match rows.get_mut(&change.key) {
            Some(row) if row.version() + 1 == change.version => {
                row.evolve(change);
                row
            }
            Some(row) => {
                let reason = format!("it is version {} of an aggregate that is at {}", change.version, row.version());
                return Err(change.poison(reason));
            }
            None if change.version == 1 => {
                let row = C::begin(change).ok_or_else(|| change.poison("no history begins with this event"))?;
                rows.entry(change.key).or_insert(row)
            }
            None => return Err(change.poison(format!("version {} of an aggregate unknown here", change.version))),
        };
        each(change, row)?;
    }
    let mut after: Vec<C> = rows.into_values().collect();
    // In key order the indexes are written page by page.
    after.sort_unstable_by_key(Current::key);
    Ok(Folded { before, after })
}

/// The rows that a batch touched.
pub(crate) struct Folded<C> {
    /// As they were; those that began in the batch are not among them.
    pub(crate) before: Vec<C>,
    /// As they are, in the order of their keys.
    pub(crate) after: Vec<C>,
}
