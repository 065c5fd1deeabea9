//! Records in the directory that a tenant was suspended, resumed, scheduled for deletion or restored. Each process reads the directory when
//! it starts.

use std::sync::Arc;

use coordinator::{Definition, Fault, Next, Start, StartContext, Step, StepContext};
use kernel::RecordedEvent;
use serde::{Deserialize, Serialize};
use user_aggregates::{Tenant, TenantStatus};

use crate::{Ports, TenantResources, TenantStanding, for_a_day};

#[derive(Clone, Copy, Serialize, Deserialize)]
struct Parameters {}

pub(crate) fn definition(ports: &Ports) -> Definition {
    let resources = ports.resources.clone();
    let note = move |context: StepContext, _: Parameters| note(resources.clone(), context);
    // Until the directory has it, a process that does not follow the log admits a suspended tenant. A tenant that is suspended while it is
    // provisioned is in the directory only when that is done.
    let steps = vec![Step::new("note", note).retry(for_a_day())];
    Definition::new("note_tenant_status", 1, &[], TenantStanding::TOLD_BY, start, steps)
}

async fn start(_: StartContext, event: RecordedEvent) -> Result<Option<Start<Parameters>>, Fault> {
    Ok(Some(Start { key: event.aggregate_id, parameters: Parameters {} }))
}

/// Records the current status and not that of the event, so that the order of several instances does not matter. They may run at the same
/// time, so the status is read again after it was recorded: if it has changed meanwhile, another instance may have recorded the new one
/// first.
async fn note(resources: Arc<dyn TenantResources>, context: StepContext) -> Result<Next, Fault> {
    let mut noted = None;
    loop {
        let current = current_standing(&context).await?;
        // `None`: it is not in the directory yet, or no longer.
        let Some(standing) = current.filter(|_| current != noted) else { return Ok(Next::done()) };
        resources.note_standing(context.tenant(), standing).await?;
        noted = Some(standing);
    }
}

/// The tenant's status in the log; `None` if the directory does not keep it.
async fn current_standing(context: &StepContext) -> Result<Option<TenantStanding>, Fault> {
    let Some((tenant, _)) = context.load::<Tenant>(context.tenant()).await? else { return Ok(None) };
    Ok(match tenant.status {
        TenantStatus::Active => Some(TenantStanding::Active),
        TenantStatus::Suspended => Some(TenantStanding::Suspended),
        TenantStatus::Deleting => Some(TenantStanding::Deleting),
        TenantStatus::Requested | TenantStatus::Abandoned | TenantStatus::Deleted => None,
    })
}
