//! Records in the directory that a tenant was suspended, resumed, scheduled for deletion or restored. Each process reads the directory when
//! it starts.

use std::sync::Arc;

use coordinator::{Definition, Doing, Fault, Next, Occasion, Start, Step};
use kernel::RecordedEvent;
use serde::{Deserialize, Serialize};
use user_aggregates::{Tenant, TenantStatus};

use crate::{Places, Ports, TenantStanding};

#[derive(Clone, Copy, Serialize, Deserialize)]
struct Parameters {}

pub(crate) fn definition(ports: &Ports) -> Definition {
    let places = ports.places.clone();
    let note = move |doing: Doing, _: Parameters| note(places.clone(), doing);
    let starts_on = TenantStanding::TOLD_BY;
    Definition::new("note_tenant_status", 1, &[], starts_on, start, vec![Step::new("note", note)])
}

async fn start(_: Occasion, event: RecordedEvent) -> Result<Option<Start<Parameters>>, Fault> {
    Ok(Some(Start { key: event.aggregate_id, parameters: Parameters {} }))
}

/// Records the current status and not that of the event, so that the order of several instances does not matter.
async fn note(places: Arc<dyn Places>, doing: Doing) -> Result<Next, Fault> {
    let Some((tenant, _)) = doing.load::<Tenant>(doing.tenant()).await? else { return Ok(Next::done()) };
    let standing = match tenant.status {
        TenantStatus::Active => TenantStanding::Active,
        TenantStatus::Suspended => TenantStanding::Suspended,
        TenantStatus::Deleting => TenantStanding::Deleting,
        // It is not in the directory yet, or no longer.
        TenantStatus::Requested | TenantStatus::Abandoned | TenantStatus::Deleted => return Ok(Next::done()),
    };
    places.note_standing(doing.tenant(), standing).await?;
    Ok(Next::done())
}
