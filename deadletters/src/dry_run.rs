//! Dry runs: processing a parked event without any lasting effect.

use futures::future::BoxFuture;
use kernel::{Position, RecordedEvent, TenantId};

use crate::{Consumer, Decisions, Kind};

/// The result of a dry run with a letter's event and the later events of its aggregate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DryRunResult {
    /// The number of events that would be processed, in order.
    pub taken: u64,
    /// The first event that would fail, and why.
    pub failed: Option<(Position, Vec<String>)>,
}

/// A kind of consumer that supports dry runs.
pub trait DryRun: Send + Sync + 'static {
    /// The kind.
    fn kind(&self) -> Kind;

    /// Processes these events of one aggregate, in order and as `decisions` say, and undoes everything.
    ///
    /// # Errors
    /// Why a dry run is not possible now, for people.
    fn dry_run<'a>(
        &'a self,
        consumer: &'a Consumer,
        tenant: TenantId,
        events: Vec<RecordedEvent>,
        decisions: Decisions,
    ) -> BoxFuture<'a, Result<DryRunResult, String>>;
}
