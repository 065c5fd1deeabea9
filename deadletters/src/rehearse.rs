//! What would come of it: taking a letter without leaving anything behind.

use futures::future::BoxFuture;
use kernel::{Position, RecordedEvent, TenantId};

use crate::{Consumer, Decisions, Kind};

/// What would come of taking a letter's event, and of what waits behind it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rehearsal {
    /// How many events would be taken, in order.
    pub taken: u64,
    /// The first that would not, and why.
    pub failed: Option<(Position, Vec<String>)>,
}

/// A kind of consumer that can say beforehand what would come of it.
pub trait Rehearse: Send + Sync + 'static {
    /// Which kind.
    fn kind(&self) -> Kind;

    /// Takes these events of one aggregate, in order, as `decisions` say, and takes everything back.
    ///
    /// # Errors
    /// Why it can't be said now, for people.
    fn rehearse<'a>(
        &'a self,
        consumer: &'a Consumer,
        tenant: TenantId,
        events: Vec<RecordedEvent>,
        decisions: Decisions,
    ) -> BoxFuture<'a, Result<Rehearsal, String>>;
}
