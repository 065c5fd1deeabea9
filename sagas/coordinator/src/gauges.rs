//! The gauges of sagas. Only the active coordinator sets them; one that stops being active sets them to zero.

use metrics::Gauge;

use crate::Status;

/// The statuses that are counted: all that are not final.
pub(crate) const COUNTED: [Status; 3] = [Status::Running, Status::Unwinding, Status::Stuck];

/// The number of instances of a saga with this status.
pub(crate) fn instances(service: &'static str, saga: &'static str, status: Status) -> Gauge {
    metrics::gauge!("inopsio_saga_instances", "service" => service, "saga" => saga, "state" => status.as_str())
}

/// The number of aggregates of a saga that have parked events.
pub(crate) fn dead_letters(service: &'static str, saga: &'static str) -> Gauge {
    metrics::gauge!("inopsio_dead_letters", "service" => service, "consumer" => "saga", "name" => saga)
}
