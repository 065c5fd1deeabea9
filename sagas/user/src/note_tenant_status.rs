//! Records in the directory that a tenant was suspended, resumed, scheduled for deletion or restored. Each process reads the directory when
//! it starts.

use std::sync::Arc;

use coordinator::{Definition, Fault, Next, Start, StartContext, Step, StepContext};
use kernel::RecordedEvent;
use serde::{Deserialize, Serialize};
use user_aggregates::{Tenant, TenantStatus};

use crate::{Ports, TenantResources, TenantStanding};

#[derive(Clone, Copy, Serialize, Deserialize)]
struct Parameters {}

pub(crate) fn definition(ports: &Ports) -> Definition {
    let resources = ports.resources.clone();
    let note = move |context: StepContext, _: Parameters| note(resources.clone(), context);
    let starts_on = TenantStanding::TOLD_BY;
    Definition::new("note_tenant_status", 1, &[], starts_on, start, vec![Step::new("note", note)])
}

async fn start(_: StartContext, event: RecordedEvent) -> Result<Option<Start<Parameters>>, Fault> {
    Ok(Some(Start { key: event.aggregate_id, parameters: Parameters {} }))
}

/// Records the current status and not that of the event, so that the order of several instances does not matter.
async fn note(resources: Arc<dyn TenantResources>, context: StepContext) -> Result<Next, Fault> {
    let Some((tenant, _)) = context.load::<Tenant>(context.tenant()).await? else { return Ok(Next::done()) };
    let standing = match tenant.status {
        TenantStatus::Active => TenantStanding::Active,
        TenantStatus::Suspended => TenantStanding::Suspended,
        TenantStatus::Deleting => TenantStanding::Deleting,
        // It is not in the directory yet, or no longer.
        TenantStatus::Requested | TenantStatus::Abandoned | TenantStatus::Deleted => return Ok(Next::done()),
    };
    resources.note_standing(context.tenant(), standing).await?;
    Ok(Next::done())
}
