//! The names of streams and subjects.

use kernel::{RecordedEvent, Service, TenantId};

/// The stream of a service's events, for example `EVENTS_CRM`.
pub fn stream(service: Service) -> String {
    format!("EVENTS_{}", service.name().to_ascii_uppercase())
}

/// All events of a service: `evt.crm.>`.
pub fn events(service: Service) -> String {
    format!("evt.{service}.>")
}

/// The subject that wakes the relay of a service, because there are events to publish: `wake.crm`.
pub fn wake(service: Service) -> String {
    format!("wake.{service}")
}

/// The subject that tells the deliverers of a service's webhooks that a webhook was changed: `wake.crm.webhooks`.
pub fn wake_webhooks(service: Service) -> String {
    format!("wake.{service}.webhooks")
}

/// The subject that tells the runners of a service's jobs that a job may be due: `wake.crm.jobs`.
pub fn wake_jobs(service: Service) -> String {
    format!("wake.{service}.jobs")
}

/// The subject that tells the runners of a service's jobs that a running job may have been cancelled: `wake.crm.jobs.cancelled`.
pub fn wake_cancelled_jobs(service: Service) -> String {
    format!("wake.{service}.jobs.cancelled")
}

/// The subject that tells the consumers of a service's events that a dead letter may be due: `wake.crm.dead_letters`.
pub fn wake_dead_letters(service: Service) -> String {
    format!("wake.{service}.dead_letters")
}

/// All messages about dead letters, of all services: `dlq.>`.
pub fn dead_letters() -> String {
    "dlq.>".to_owned()
}

/// The subject of a message about a dead letter: `dlq.<service>.<tenant>.<kind>.<name>.<state>`, for example
/// `dlq.crm.0197….projection.leads.parked`; `consumer` is kind and name with a dot between.
pub fn dead_letter(service: Service, tenant: TenantId, consumer: &str, state: &str) -> String {
    format!("dlq.{service}.{tenant}.{consumer}.{state}")
}

/// All events of a tenant of a service: `evt.crm.<tenant>.>`.
pub fn tenant_events(service: Service, tenant: TenantId) -> String {
    format!("evt.{service}.{tenant}.>")
}

/// The subject of an event: `evt.<service>.<tenant>.<aggregate>.<event>`, for example `evt.crm.0197….lead.qualified`;
/// aggregate and event are the last parts of their wire names. An error says which name has no such part.
pub fn event(service: Service, event: &RecordedEvent) -> Result<String, String> {
    let aggregate = last_part(&event.aggregate_type)?;
    let name = last_part(&event.event_type)?;
    Ok(format!("evt.{service}.{}.{aggregate}.{name}", event.tenant))
}

/// The part after the last dot of a wire name, if it is valid in a subject.
fn last_part(wire: &str) -> Result<&str, String> {
    let part = wire.rsplit('.').next().unwrap_or_default();
    if !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')) {
        return Ok(part);
    }
    Err(format!("{wire:?} does not end in a word of letters, digits, _ or -"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_part_of_a_wire_name_makes_the_subject() {
        assert_eq!(last_part("crm.lead"), Ok("lead"));
        assert_eq!(last_part("crm.lead.work_started"), Ok("work_started"));
        for bad in ["", "crm.", "crm.le ad", "crm.*", "crm.>", "crm.é"] {
            assert!(last_part(bad).is_err(), "{bad}");
        }
    }
}
