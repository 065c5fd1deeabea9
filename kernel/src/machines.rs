//! A port for looking up a machine's current roles. Work that was requested by a machine and runs much later (such as a job) uses it to
//! check that the machine may still do it.

use std::pin::Pin;

use uuid::Uuid;

use crate::{Refusal, TenantId};

/// The current status of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineStanding {
    /// Whether the machine may get tokens.
    pub active: bool,
    /// The names of its roles in its tenant.
    pub roles: Vec<String>,
}

/// The result of a lookup; `None`: the tenant has no such machine.
pub type LookedUp<'a> = Pin<Box<dyn Future<Output = Result<Option<MachineStanding>, Refusal>> + Send + 'a>>;

/// A source of machines: the service that owns them reads its log, other services send it a request.
pub trait Machines: Send + Sync {
    /// The current status of a tenant's machine.
    ///
    /// # Errors
    /// When it can't be determined.
    fn standing(&self, tenant: TenantId, machine: Uuid) -> LookedUp<'_>;
}

/// An implementation for processes without the auth service, such as tests: there are no machines.
pub struct NoMachines;

impl Machines for NoMachines {
    fn standing(&self, _: TenantId, _: Uuid) -> LookedUp<'_> {
        Box::pin(std::future::ready(Ok(None)))
    }
}
