//! What a projection is.

use kernel::{Position, RecordedEvent};
use sqlx::PgConnection;

/// A boxed future that borrows.
pub type BoxFuture<'a, T> = futures::future::BoxFuture<'a, T>;

/// A read model: tables made for their questions, and what each event changes in them.
///
/// All it knows comes from the events it is given, in order: then a rebuild gives the same rows, and what was applied twice or
/// skipped shows.
pub trait Projection: Send + Sync + 'static {
    /// The name in checkpoints, metrics and commands: lower-case letters, digits and `_`, for example `leads`.
    fn name(&self) -> &'static str;

    /// Raised whenever tables or the meaning of past events change; a stored older version stands still until a rebuild.
    fn version(&self) -> u32;

    /// `CREATE TABLE` and `CREATE INDEX` with unqualified names, each statement ended by `;` at the end of a line. Each table
    /// has `tenant_id uuid` first in its primary key. No functions, views or sequences, since tables are moved between schemas;
    /// no deferred constraints, since an event has to fail where it is applied.
    fn ddl(&self) -> &'static str;

    /// The tables that the DDL makes.
    fn tables(&self) -> &'static [&'static str];

    /// Whether events of this type change anything here. The others are not shown to [`apply`](Self::apply).
    fn wants(&self, event_type: &str) -> bool;

    /// Applies events of one or several tenants, in the log's order, to the tables, which stand first on the search path.
    /// Whole batches, set by set: read the touched rows once, fold in memory, write with multi-row statements. It runs within
    /// a transaction, of which it must not end or begin any part, and can be called again with other cuts of the same events
    /// after a rollback.
    fn apply<'a>(
        &'a self,
        events: &'a [&'a RecordedEvent],
        tables: &'a mut PgConnection,
    ) -> BoxFuture<'a, Result<(), ApplyError>>;

    /// Passes over an event that somebody discarded: nothing of it is applied, now or in a rebuild. A projection that would miss it
    /// when the next event of its aggregate comes (because it counts versions) takes note here. As for
    /// [`apply`](Self::apply), it runs within a transaction, in the log's order.
    fn skip<'a>(
        &'a self,
        _event: &'a RecordedEvent,
        _tables: &'a mut PgConnection,
    ) -> BoxFuture<'a, Result<(), ApplyError>> {
        Box::pin(async { Ok(()) })
    }

    /// Empties the rows of whoever this event [erases](kernel::personal::erases) of what tells who they are, and leaves all else: as
    /// if the keys had been gone when the rows were made. Called when the event itself has to wait, because it or an earlier one of
    /// its aggregate can't be applied; it is applied later all the same, and this may come again. To be written by every projection
    /// that has personal values in clear.
    fn forget<'a>(
        &'a self,
        _event: &'a RecordedEvent,
        _tables: &'a mut PgConnection,
    ) -> BoxFuture<'a, Result<(), ApplyError>> {
        Box::pin(async { Ok(()) })
    }
}

/// Why events could not be applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// This event can't be applied, however often it is tried: it can't be decoded, or contradicts what is there.
    #[error("the event at {position} can't be applied: {reason}")]
    Poison {
        /// The event's position.
        position: Position,
        /// Why, for the people who will look at it.
        reason: String,
    },
    /// The database refused; what it says decides whether to try again or to look for the event that is to blame.
    #[error("the read model can't be written: {0}")]
    Storage(#[from] sqlx::Error),
}

impl ApplyError {
    /// An event that can't be applied.
    pub fn poison(event: &RecordedEvent, reason: impl std::fmt::Display) -> Self {
        Self::Poison { position: event.position, reason: reason.to_string() }
    }
}
