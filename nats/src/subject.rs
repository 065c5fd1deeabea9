//! Names on the bus.

use kernel::{RecordedEvent, Service, TenantId};

/// The stream of a service's events, for example `EVENTS_CRM`.
pub fn stream(service: Service) -> String {
    format!("EVENTS_{}", service.name().to_ascii_uppercase())
}

/// All events of a service: `evt.crm.>`.
pub fn events(service: Service) -> String {
    format!("evt.{service}.>")
}

/// Where the relay of a service is told that there is something to publish: `wake.crm`.
pub fn wake(service: Service) -> String {
    format!("wake.{service}")
}

/// Where the webhooks of a service are told that one was changed: `wake.crm.webhooks`.
pub fn wake_webhooks(service: Service) -> String {
    format!("wake.{service}.webhooks")
}

/// Where the runners of a service's jobs are told that one may be due: `wake.crm.jobs`.
pub fn wake_jobs(service: Service) -> String {
    format!("wake.{service}.jobs")
}

/// Where they are told that one that runs may be to stop: `wake.crm.jobs.cancelled`.
pub fn wake_cancelled_jobs(service: Service) -> String {
    format!("wake.{service}.jobs.cancelled")
}

/// Where the consumers of a service are told that a dead letter may be due: `wake.crm.dead_letters`.
pub fn wake_dead_letters(service: Service) -> String {
    format!("wake.{service}.dead_letters")
}

/// All that is told of dead letters, of all services: `dlq.>`.
pub fn dead_letters() -> String {
    "dlq.>".to_owned()
}

/// Where it is told what became of a dead letter: `dlq.<service>.<tenant>.<kind>.<name>.<state>`, for example
/// `dlq.crm.0197….projection.leads.parked`; `consumer` is kind and name with a dot between.
pub fn dead_letter(service: Service, tenant: TenantId, consumer: &str, state: &str) -> String {
    format!("dlq.{service}.{tenant}.{consumer}.{state}")
}

/// All events of a tenant of a service: `evt.crm.<tenant>.>`.
pub fn tenant_events(service: Service, tenant: TenantId) -> String {
    format!("evt.{service}.{tenant}.>")
}

/// Where an event is published: `evt.<service>.<tenant>.<aggregate>.<event>`, for example `evt.crm.0197….lead.qualified`;
/// aggregate and event are the last parts of their wire names. An error says which name has no such part.
pub fn event(service: Service, event: &RecordedEvent) -> Result<String, String> {
    let aggregate = last_part(&event.aggregate_type)?;
    let name = last_part(&event.event_type)?;
    Ok(format!("evt.{service}.{}.{aggregate}.{name}", event.tenant))
}

/// What stands after the last dot, if a subject can hold it.
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
