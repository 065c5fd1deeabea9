//! Looks up the state of machines in the auth service's log, which every process of ours can read.

use std::collections::BTreeSet;

use auth_aggregates::Machine;
use executor::Executor;
use kernel::{Caller, LookedUp, MachineStanding, Machines, Refusal, TenantId};
use uuid::Uuid;

use super::Late;

impl Machines for Late<Executor> {
    fn standing(&self, tenant: TenantId, machine: Uuid) -> LookedUp<'_> {
        Box::pin(async move {
            let executor = self.get().ok_or_else(|| {
                Refusal::unavailable("machines_unavailable", "the state of machines is not known here yet; try again")
            })?;
            // Loading an aggregate needs no permission, only the right tenant.
            let asking = Caller::holding(tenant, "gateway", BTreeSet::new());
            let found = executor.load::<Machine>(&asking, &machine.to_string()).await?;
            Ok(found.map(|(found, _)| MachineStanding { active: found.active, roles: found.roles.clone() }))
        })
    }
}
