//! What was found, by form.

use std::collections::BTreeMap;

use kernel::RecordedEvent;
use serde::Serialize;

/// Counts by event type and version.
#[derive(Debug, Default)]
pub struct Tally(BTreeMap<(String, u32), Found>);

/// What was found of one form.
#[derive(Debug, Default, Serialize)]
pub struct Found {
    /// Events of this form.
    pub events: u64,
    /// Those with which something is wrong.
    pub bad: u64,
    /// The first of them, by position.
    pub first: Vec<InvalidEvent>,
}

/// An event with which something is wrong.
#[derive(Clone, Debug, Serialize)]
pub struct InvalidEvent {
    /// Where it stands in its service's log.
    pub position: u64,
    /// Whose it is.
    pub tenant_id: String,
    /// `service.aggregate`.
    pub aggregate_type: String,
    /// The aggregate's id.
    pub aggregate_id: String,
    /// What is wrong.
    pub reason: String,
}

impl Tally {
    /// Counts an event; of those with which something is wrong, the first `shown` of each form are kept.
    pub fn count(&mut self, event: &RecordedEvent, checked: Result<(), String>, shown: usize) {
        // Forms are few and events many: the key is only made for a form that is new.
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

    /// Adds what another counted.
    pub fn add(&mut self, other: Self, shown: usize) {
        for (form, more) in other.0 {
            let found = self.0.entry(form).or_default();
            found.events += more.events;
            found.bad += more.bad;
            more.first.into_iter().for_each(|invalid| found.keep(invalid, shown));
        }
    }

    /// How many events were counted, and how many of them are bad.
    pub fn totals(&self) -> (u64, u64) {
        self.0.values().fold((0, 0), |(events, bad), found| (events + found.events, bad + found.bad))
    }

    /// What was found, by type and version.
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
