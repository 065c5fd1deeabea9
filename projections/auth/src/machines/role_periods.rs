//! The roles that machines had over time.

use auth_aggregates::MachineEvent;
use chrono::{DateTime, Utc};
use folding::RolePeriod;
use kernel::{Event, TenantId};
use sqlx::PgConnection;
use uuid::Uuid;

/// Reads machine by machine by the primary key of the log. Refused attempts are left out, because there may be many.
const HISTORY: &str = "SELECT m.id, e.recorded_at, e.event_type, e.event_version, e.payload::text
     FROM UNNEST($2::uuid[]) AS m (id)
     CROSS JOIN LATERAL (
         SELECT l.recorded_at, l.event_type, l.event_version, l.payload, l.sequence FROM log.events l
         WHERE l.tenant_id = $1 AND l.aggregate_type = 'auth.machine' AND l.aggregate_id = m.id::text
           AND l.event_type IN ('auth.machine.registered', 'auth.machine.changed',
                                'auth.machine.deactivated', 'auth.machine.reactivated')
         OFFSET 0
     ) e
     ORDER BY m.id, e.sequence";

/// The role periods of these machines, computed from the log itself, without unknown ids.
///
/// # Errors
/// When Postgres refuses, or an event can't be read by this program.
pub async fn role_periods(
    tables: &mut PgConnection,
    tenant: TenantId,
    machines: &[Uuid],
) -> Result<Vec<RolePeriod>, sqlx::Error> {
    let query = sqlx::query_as::<_, (Uuid, DateTime<Utc>, String, String, String)>(HISTORY);
    let rows = query.bind(tenant.uuid()).bind(machines).fetch_all(tables).await?;
    let mut found: Vec<RolePeriod> = Vec::with_capacity(rows.len());
    let (mut roles, mut active) = (Vec::new(), false);
    for (machine, at, event_type, version, payload) in rows {
        let version = version.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
        let events = MachineEvent::decode(&event_type, version, payload.as_bytes());
        for event in events.map_err(|error| sqlx::Error::Decode(Box::new(error)))? {
            match event {
                MachineEvent::MachineRegistered(e) => (roles, active) = (e.roles, true),
                MachineEvent::MachineChanged(e) => roles = e.roles,
                MachineEvent::MachineDeactivated(_) => active = false,
                MachineEvent::MachineReactivated(_) => active = true,
                MachineEvent::MachineSecretSet(_)
                | MachineEvent::MachineKeysSet(_)
                | MachineEvent::MachineRefused(_) => {}
            }
        }
        if let Some(before) = found.last_mut().filter(|before| before.subject == machine) {
            before.to = Some(at);
        }
        let has = if active { roles.iter().cloned().collect() } else { std::collections::BTreeSet::new() };
        found.push(RolePeriod { subject: machine, from: at, to: None, roles: has });
    }
    Ok(found)
}
