//! The effects of a batch of events, collected before they are written in one transaction.

use std::collections::HashMap;

use deadletters::Entry;
use kernel::{Position, RecordedEvent, TenantId};

use crate::rows::{InstanceKey, SagaKey};
use crate::skipped::SkippedRange;
use crate::state::State;

/// The effects of a batch of events.
#[derive(Default)]
pub(crate) struct BatchEffects {
    /// Instances whose rows have to show at least this version.
    pub(crate) instances: Vec<(InstanceKey, u64)>,
    /// Instances that were just started, with their state.
    pub(crate) started: Vec<(InstanceKey, State)>,
    /// Instances to wake, and the position of the last event that wakes them.
    pub(crate) wakes: HashMap<SagaKey, Position>,
    /// Events that are parked, because a saga could not decide whether they start it.
    pub(crate) parked: Vec<(&'static str, Entry)>,
    /// By closed tenant, the range of events that were skipped.
    pub(crate) skipped: HashMap<TenantId, SkippedRange>,
    /// The skipped range that is being processed now, and the position reached in it.
    pub(crate) caught_up: Option<(SkippedRange, Position)>,
}

impl BatchEffects {
    /// Whether an earlier event was just parked for this saga. For effects of a single aggregate's events.
    pub(crate) fn holds(&self, saga: &str) -> bool {
        self.parked.iter().any(|(parked, _)| *parked == saga)
    }

    /// Records that an event of a closed tenant is skipped.
    pub(crate) fn skip(&mut self, event: &RecordedEvent) {
        let (tenant, before) = (event.tenant, Position(event.position.0.saturating_sub(1)));
        let range = self.skipped.entry(tenant).or_insert(SkippedRange { tenant, after: before, to: event.position });
        range.to = event.position;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.instances.is_empty()
            && self.started.is_empty()
            && self.wakes.is_empty()
            && self.parked.is_empty()
            && self.skipped.is_empty()
            && self.caught_up.is_none()
    }
}
