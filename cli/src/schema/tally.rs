//! Counts the checked events by type and version.

use std::collections::BTreeMap;

use kernel::RecordedEvent;
use serde::Serialize;

/// Counts by event type and version.
#[derive(Debug, Default)]
pub struct Tally(BTreeMap<(String, u32), Found>);

/// The counts of one event type and version.
#[derive(Debug, Default, Serialize)]
pub struct Found {
    /// Number of events.
    pub events: u64,
    /// Number of invalid events.
    pub bad: u64,
    /// The first invalid events, by position.
    pub first: Vec<InvalidEvent>,
}

/// An invalid event.
#[derive(Clone, Debug, Serialize)]
pub struct InvalidEvent {
    /// Its position in the service's log.
    pub position: u64,
    /// Its tenant's id.
    pub tenant_id: String,
    /// Its aggregate's type, `service.aggregate`.
    pub aggregate_type: String,
    /// The aggregate's id.
    pub aggregate_id: String,
    /// The problem.
    pub reason: String,
}

impl Tally {
    /// Counts an event. For each type and version, the first `shown` invalid events are kept.
    pub fn count(&mut self, event: &RecordedEvent, checked: Result<(), String>, shown: usize) {
        // Search first, because creating the key allocates and there are few types but many events.
        let found = match self
            .0
            .iter_mut()
            .find(|((name, version), _)| *version == event.event_version && *name == event.event_type)
        {
            Some((_, found)) => found,
            None => self.0.entry((event.event_type.clone(), event.event_version)).or_default(),
        };
        found.events += 1;
        if let Err(reason) = checked {
            found.bad += 1;
            let invalid = InvalidEvent {
                position: event.position.0,
                tenant_id: event.tenant.to_string(),
                aggregate_type: event.aggregate_type.clone(),
                aggregate_id: event.aggregate_id.clone(),
                reason,
            };
            found.keep(invalid, shown);
        }
    }

    /// Adds the counts of another reader.
    pub fn add(&mut self, other: Self, shown: usize) {
        for (form, more) in other.0 {
            let found = self.0.entry(form).or_default();
            found.events += more.events;
            found.bad += more.bad;
            more.first.into_iter().for_each(|invalid| found.keep(invalid, shown));
        }
    }

    /// Number of events, and number of invalid ones.
    pub fn totals(&self) -> (u64, u64) {
        self.0.values().fold((0, 0), |(events, bad), found| (events + found.events, bad + found.bad))
    }

    /// The counts by type and version.
    pub fn forms(&self) -> impl Iterator<Item = (&str, u32, &Found)> {
        self.0.iter().map(|((name, version), found)| (name.as_str(), *version, found))
    }
}

impl Found {
    fn keep(&mut self, invalid: InvalidEvent, shown: usize) {
        let at = self.first.partition_point(|other| other.position < invalid.position);
        if at < shown {
            self.first.insert(at, invalid);
            self.first.truncate(shown);
        }
    }
}
