//! What a batch of events means for sagas.

use std::collections::HashMap;

use deadletters::Entry;
use kernel::{Position, RecordedEvent, TenantId};

use crate::passed_over::PassedOver;
use crate::rows::{InstanceKey, SagaKey};
use crate::state::State;

/// What a batch of events means.
#[derive(Default)]
pub(crate) struct Findings {
    /// Instances whose rows have to show this version or a later one.
    pub(crate) instances: Vec<(InstanceKey, u64)>,
    /// Instances that were just begun, as they stand.
    pub(crate) begun: Vec<(InstanceKey, State)>,
    /// Who has to hear of something, and where the last of it is.
    pub(crate) pokes: HashMap<SagaKey, Position>,
    /// Events of which a saga could not say whether they start it.
    pub(crate) parked: Vec<(&'static str, Entry)>,
    /// Of tenants that are closed, the events that were passed over.
    pub(crate) passed: HashMap<TenantId, PassedOver>,
    /// What was passed over and is looked at now, and up to where.
    pub(crate) made_up: Option<(PassedOver, Position)>,
}

impl Findings {
    /// Of one aggregate's events: whether an earlier one was just parked.
    pub(crate) fn holds(&self, saga: &str) -> bool {
        self.parked.iter().any(|(parked, _)| *parked == saga)
    }

    /// An event of a closed tenant was passed over.
    pub(crate) fn pass(&mut self, event: &RecordedEvent) {
        let (tenant, before) = (event.tenant, Position(event.position.0.saturating_sub(1)));
        let stretch = self.passed.entry(tenant).or_insert(PassedOver { tenant, after: before, to: event.position });
        stretch.to = event.position;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.instances.is_empty()
            && self.begun.is_empty()
            && self.pokes.is_empty()
            && self.parked.is_empty()
            && self.passed.is_empty()
            && self.made_up.is_none()
    }
}
