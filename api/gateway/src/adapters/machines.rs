//! How it stands with machines, as the auth service's log has it: every process of ours may read that.

use std::collections::BTreeSet;

use auth_aggregates::Machine;
use executor::Executor;
use kernel::{Caller, LookedUp, MachineStanding, Machines, Refusal, TenantId};
use uuid::Uuid;

use super::Late;

/// Over the log of the auth service.
impl Machines for Late<Executor> {
    fn standing(&self, tenant: TenantId, machine: Uuid) -> LookedUp<'_> {
        Box::pin(async move {
            let executor = self.get().ok_or_else(|| {
                Refusal::unavailable("machines_unavailable", "the state of machines is not known here yet; try again")
            })?;
            // Who reads an aggregate needs no permission, only its tenant.
            let asking = Caller::holding(tenant, "gateway", BTreeSet::new());
            let found = executor.load::<Machine>(&asking, &machine.to_string()).await?;
            Ok(found.map(|(found, _)| MachineStanding { active: found.active, roles: found.roles.clone() }))
        })
    }
}
