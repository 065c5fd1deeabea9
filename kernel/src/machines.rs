//! What machines may do now, for what is done in their name long after they asked for it.

use std::pin::Pin;

use uuid::Uuid;

use crate::{Refusal, TenantId};

/// How it stands with a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineStanding {
    /// Whether it gets tokens.
    pub active: bool,
    /// What it is in its tenant, by name.
    pub roles: Vec<String>,
}

/// What a look at a machine becomes; none: there is no such machine.
pub type LookedUp<'a> = Pin<Box<dyn Future<Output = Result<Option<MachineStanding>, Refusal>> + Send + 'a>>;

/// Who knows the machines of tenants: one service has them in its log, others ask.
pub trait Machines: Send + Sync {
    /// How it stands with a machine now; a refusal says that it can't be told.
    fn standing(&self, tenant: TenantId, machine: Uuid) -> LookedUp<'_>;
}
