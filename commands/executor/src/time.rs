//! Checks of the time at which an event happened: earlier than now needs a permission.

use chrono::{DateTime, Utc};
use kernel::{Caller, Refusal, write_time};

/// The permission to name the time of an event.
pub(crate) fn backdate(service: &str) -> String {
    format!("{service}:history:backdate")
}

/// Refuses a time that the caller may not use: without the permission `<service>:history:backdate`, before 1970, or in the future.
pub(crate) fn may_backdate(
    caller: &Caller,
    service: &str,
    occurred_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<(), Refusal> {
    let permission = backdate(service);
    if !caller.may(&permission) {
        let detail = format!("to say when something happened needs the permission {permission}");
        return Err(Refusal::forbidden("permission_missing", detail).with("permission", permission));
    }
    if occurred_at < DateTime::UNIX_EPOCH {
        let [occurred_at, first] = [occurred_at, DateTime::UNIX_EPOCH].map(write_time);
        let detail = format!("{occurred_at} is too early; allowed is from {first} on");
        return Err(Refusal::invalid("day_out_of_range", detail));
    }
    if occurred_at > now {
        let [occurred_at, now] = [occurred_at, now].map(write_time);
        let detail = format!("{occurred_at} is in the future; allowed is up to {now}");
        return Err(Refusal::invalid("occurred_in_future", detail));
    }
    Ok(())
}

/// Refuses a time before the stream's last event: the events of a stream are in order of time.
pub(crate) fn in_order(occurred_at: DateTime<Utc>, last: DateTime<Utc>, stream: &str) -> Result<(), Refusal> {
    if occurred_at >= last {
        return Ok(());
    }
    let [occurred_at, last] = [occurred_at, last].map(write_time);
    Err(Refusal::conflict(
        "occurred_before_last_change",
        format!("{stream} last changed at {last}; what is added to it can't have happened at {occurred_at}"),
    )
    .with("last_changed_at", last))
}
