//! What is measured of sagas. Only the active coordinator says how many there are; one that ceases to be says none.

use metrics::Gauge;

use crate::Status;

/// How those stand that are counted: what is over is not.
pub(crate) const COUNTED: [Status; 3] = [Status::Running, Status::Unwinding, Status::Stuck];

/// How many instances of a saga stand like that.
pub(crate) fn instances(service: &'static str, saga: &'static str, status: Status) -> Gauge {
    metrics::gauge!("inopsio_saga_instances", "service" => service, "saga" => saga, "state" => status.as_str())
}

/// How many aggregates' events wait behind one that a saga can't take.
pub(crate) fn dead_letters(service: &'static str, saga: &'static str) -> Gauge {
    metrics::gauge!("inopsio_dead_letters", "service" => service, "consumer" => "saga", "name" => saga)
}
