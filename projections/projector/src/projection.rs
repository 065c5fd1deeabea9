//! The trait that every projection implements.

use kernel::{Position, RecordedEvent};
use sqlx::PgConnection;

/// A boxed future that borrows.
pub type BoxFuture<'a, T> = futures::future::BoxFuture<'a, T>;

/// A read model: tables that are designed for their queries, and the changes that each event makes in them.
///
/// Its rows depend only on the events that it is given, in order. So a rebuild gives the same rows, and a comparison with the log finds
/// events that were applied twice or skipped.
pub trait Projection: Send + Sync + 'static {
    /// The name in checkpoints, metrics and commands: lower-case letters, digits and `_`, for example `leads`.
    fn name(&self) -> &'static str;

    /// Raise it whenever the tables, or the way in which past events are applied, change. Tables of an older version are not updated until
    /// a rebuild.
    fn version(&self) -> u32;

    /// `CREATE TABLE` and `CREATE INDEX` with unqualified names, each statement ended by `;` at the end of a line. Each table
    /// has `tenant_id uuid` first in its primary key. No functions, views or sequences, since tables are moved between schemas;
    /// no deferred constraints, since an event has to fail where it is applied.
    fn ddl(&self) -> &'static str;

    /// The tables that the DDL creates.
    fn tables(&self) -> &'static [&'static str];

    /// Whether events of this type change any rows here. Others are not passed to [`apply`](Self::apply).
    fn wants(&self, event_type: &str) -> bool;

    /// Applies events of one or several tenants, in the log's order, to the tables, whose schema is first on the search path. Work on the
    /// whole batch: read the affected rows once, fold in memory, write with multi-row statements. It runs within a transaction, and must
    /// not begin or end transactions or savepoints. After a rollback it can be called again with the same events in other batches.
    fn apply<'a>(
        &'a self,
        events: &'a [&'a RecordedEvent],
        tables: &'a mut PgConnection,
    ) -> BoxFuture<'a, Result<(), ApplyError>>;

    /// Skips an event that an operator discarded: it is not applied, now or in a rebuild. A projection that would notice the gap at the
    /// aggregate's next event (because it counts versions) records the skipped version here. Like [`apply`](Self::apply), it runs within
    /// a transaction, in the log's order.
    fn skip<'a>(
        &'a self,
        _event: &'a RecordedEvent,
        _tables: &'a mut PgConnection,
    ) -> BoxFuture<'a, Result<(), ApplyError>> {
        Box::pin(async { Ok(()) })
    }

    /// Removes the personal data of the person or account that this event [erases](kernel::personal::erases) from their rows, and leaves
    /// everything else: the rows become what they would be if the keys had been missing when they were written. Called when the event
    /// itself is parked, because it or an earlier one of its aggregate can't be applied. The event is still applied later, and this may be
    /// called again. Every projection that stores personal data in clear text has to implement it.
    fn forget<'a>(
        &'a self,
        _event: &'a RecordedEvent,
        _tables: &'a mut PgConnection,
    ) -> BoxFuture<'a, Result<(), ApplyError>> {
        Box::pin(async { Ok(()) })
    }

    /// Whether it implements [`forget`](Self::forget). A test of the gateway (`tests/gateway/sealed.rs`) fails if a projection wants an
    /// event that erases, and does not.
    fn forgets(&self) -> bool {
        false
    }
}

/// The reason why events could not be applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// This event can't be applied, however often it is tried: it can't be decoded, or it contradicts the rows.
    #[error("the event at {position} can't be applied: {reason}")]
    Poison {
        /// The event's position.
        position: Position,
        /// The reason, for the operators who look at the dead letter.
        reason: String,
    },
    /// The database failed. Its error code decides whether to try the batch again or to look for the event that caused it.
    #[error("the read model can't be written: {0}")]
    Storage(#[from] sqlx::Error),
}

impl ApplyError {
    /// A [`Poison`](Self::Poison) error for this event.
    pub fn poison(event: &RecordedEvent, reason: impl std::fmt::Display) -> Self {
        Self::Poison { position: event.position, reason: reason.to_string() }
    }
}
