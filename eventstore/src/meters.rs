//! Metrics of the append path.

use std::time::Duration;

use kernel::Service;
use metrics::{Counter, Histogram};

/// Handles that are registered once, so that recording needs no lookup.
#[derive(Clone)]
pub(crate) struct Meters {
    seconds: Histogram,
    batch_events: Histogram,
    events: Counter,
    conflicts: Counter,
}

impl Meters {
    pub(crate) fn new(service: Service) -> Self {
        metrics::describe_histogram!(
            "inopsio_append_seconds",
            metrics::Unit::Seconds,
            "From an append's arrival in the queue to its answer"
        );
        metrics::describe_histogram!("inopsio_append_batch_events", "Events of a committed batch");
        metrics::describe_counter!("inopsio_append_events_total", "Events appended by this process");
        metrics::describe_counter!(
            "inopsio_append_conflicts_total",
            "Appends refused for their version, command id or claim"
        );
        let service = service.name();
        Self {
            seconds: metrics::histogram!("inopsio_append_seconds", "service" => service),
            batch_events: metrics::histogram!("inopsio_append_batch_events", "service" => service),
            events: metrics::counter!("inopsio_append_events_total", "service" => service),
            conflicts: metrics::counter!("inopsio_append_conflicts_total", "service" => service),
        }
    }

    pub(crate) fn append(&self, took: Duration) {
        self.seconds.record(took.as_secs_f64());
    }

    pub(crate) fn batch(&self, events: usize) {
        self.batch_events.record(events as f64);
    }

    pub(crate) fn events(&self, events: u64) {
        self.events.increment(events);
    }

    pub(crate) fn conflict(&self) {
        self.conflicts.increment(1);
    }
}
