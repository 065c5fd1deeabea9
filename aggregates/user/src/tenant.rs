//! Tenant: an organization that has a place of its own on the platform. A tenant has one stream, named by its own id.

use kernel::{Aggregate, Personal, Refusal};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

kernel::events! {
    /// What can happen to a tenant.
    pub enum TenantEvent of "user.tenant" {
        /// Somebody wants a tenant: its place is being made.
        TenantRequested = "user.tenant.requested" @ 1 {
            /// Its short name, in addresses.
            pub slug: String,
            /// Its name for people.
            pub name: String,
            /// Where the invitation of its first owner goes, lower case.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub owner: Option<Personal<String>>,
        },
        /// Its place is made: it can be used.
        TenantActivated = "user.tenant.activated" @ 1 {},
        /// Its place could not be made, and what was made of it was taken back. Final.
        TenantAbandoned = "user.tenant.abandoned" @ 1 {},
        /// Nobody of it may do anything for now.
        TenantSuspended = "user.tenant.suspended" @ 1 { pub reason: String },
        /// It can be used again.
        TenantResumed = "user.tenant.resumed" @ 1 {},
        /// Where the invitation of its first owner went is not kept any more.
        TenantOwnerErased = "user.tenant.owner_erased" @ 1 {},
    }
}

/// Where a tenant stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TenantStatus {
    /// Its place is being made.
    #[default]
    Requested,
    /// It can be used.
    Active,
    /// Nobody of it may do anything for now.
    Suspended,
    /// Its place could not be made. Final.
    Abandoned,
}

impl TenantStatus {
    /// Its name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Abandoned => "abandoned",
        }
    }
}

/// A tenant as its history has made it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tenant {
    pub status: TenantStatus,
    pub slug: String,
    pub name: String,
    pub owner: Option<Personal<String>>,
}

/// What can be asked of a tenant. Values have been checked for form.
#[derive(Clone, Debug, PartialEq)]
pub enum TenantCommand {
    Request(TenantRequested),
    Activate,
    Abandon,
    Suspend {
        reason: String,
    },
    Resume,
    /// Forget where the invitation of its first owner went.
    EraseOwner,
}

/// Why a tenant says no.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TenantError {
    /// It does not follow on where the tenant stands.
    #[error("a tenant that is {} can't be {step}", .status.as_str())]
    StepNotAllowed { step: &'static str, status: TenantStatus },
}

impl From<TenantError> for Refusal {
    fn from(error: TenantError) -> Self {
        let TenantError::StepNotAllowed { status, .. } = error;
        Self::conflict("tenant_step_not_allowed", error.to_string()).with("status", status.as_str())
    }
}

impl Tenant {
    fn turn(
        &self,
        from: &[TenantStatus],
        to: TenantStatus,
        step: &'static str,
        event: TenantEvent,
    ) -> Result<Vec<TenantEvent>, TenantError> {
        match self.status {
            status if status == to => Ok(vec![]),
            status if from.contains(&status) => Ok(vec![event]),
            status => Err(TenantError::StepNotAllowed { step, status }),
        }
    }
}

impl Aggregate for Tenant {
    const TYPE: &'static str = "user.tenant";
    const FORM: u32 = 2;
    const SEALED: bool = true;
    type Command = TenantCommand;
    type Event = TenantEvent;
    type Error = TenantError;

    fn decide(&self, command: TenantCommand) -> Result<Vec<TenantEvent>, TenantError> {
        use TenantStatus::{Abandoned, Active, Requested, Suspended};
        match command {
            TenantCommand::Request(requested) => Ok(vec![requested.into()]),
            TenantCommand::Activate => self.turn(&[Requested], Active, "activated", TenantActivated {}.into()),
            // Also in the last moment, when all but the end of its saga was done.
            TenantCommand::Abandon => {
                self.turn(&[Requested, Active], Abandoned, "abandoned", TenantAbandoned {}.into())
            }
            TenantCommand::Suspend { reason } => {
                self.turn(&[Active], Suspended, "suspended", TenantSuspended { reason }.into())
            }
            TenantCommand::Resume => self.turn(&[Suspended], Active, "resumed", TenantResumed {}.into()),
            TenantCommand::EraseOwner if self.owner.is_none() => Ok(vec![]),
            TenantCommand::EraseOwner => Ok(vec![TenantOwnerErased {}.into()]),
        }
    }

    fn evolve(&mut self, event: TenantEvent) {
        match event {
            TenantEvent::TenantRequested(e) => (self.slug, self.name, self.owner) = (e.slug, e.name, e.owner),
            TenantEvent::TenantActivated(_) | TenantEvent::TenantResumed(_) => self.status = TenantStatus::Active,
            TenantEvent::TenantAbandoned(_) => self.status = TenantStatus::Abandoned,
            TenantEvent::TenantSuspended(_) => self.status = TenantStatus::Suspended,
            TenantEvent::TenantOwnerErased(_) => self.owner = None,
        }
    }
}

kernel::aggregate!(Tenant);

#[cfg(test)]
mod tests {
    use cqrs_es::test::{AggregateTestExecutor, TestFramework};

    use super::*;

    fn given(mut events: Vec<TenantEvent>) -> AggregateTestExecutor<Tenant> {
        events.insert(0, TenantRequested { slug: "acme".to_owned(), name: "Acme".to_owned(), owner: None }.into());
        TestFramework::<Tenant>::with(()).given(events)
    }

    fn suspend() -> TenantCommand {
        TenantCommand::Suspend { reason: "unpaid".to_owned() }
    }

    #[test]
    fn a_tenant_is_used_only_once_its_place_is_made() {
        given(vec![]).when(TenantCommand::Activate).then_expect_events(vec![TenantActivated {}.into()]);
        let status = TenantStatus::Requested;
        given(vec![]).when(suspend()).then_expect_error(TenantError::StepNotAllowed { step: "suspended", status });
        let (abandoned, status) = (TenantAbandoned {}.into(), TenantStatus::Abandoned);
        given(vec![abandoned])
            .when(TenantCommand::Activate)
            .then_expect_error(TenantError::StepNotAllowed { step: "activated", status });
        let (active, suspended) = (TenantActivated {}.into(), TenantSuspended { reason: String::new() }.into());
        let status = TenantStatus::Suspended;
        given(vec![active, suspended])
            .when(TenantCommand::Abandon)
            .then_expect_error(TenantError::StepNotAllowed { step: "abandoned", status });
    }

    #[test]
    fn a_tenant_is_suspended_and_resumed() {
        let active = || TenantActivated {}.into();
        let suspended = || TenantSuspended { reason: "unpaid".to_owned() }.into();
        given(vec![active()]).when(suspend()).then_expect_events(vec![suspended()]);
        given(vec![active(), suspended()]).when(suspend()).then_expect_events(vec![]);
        given(vec![active(), suspended()])
            .when(TenantCommand::Resume)
            .then_expect_events(vec![TenantResumed {}.into()]);
        given(vec![active()]).when(TenantCommand::Resume).then_expect_events(vec![]);
    }
}
