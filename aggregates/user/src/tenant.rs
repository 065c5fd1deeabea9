//! Tenant: an organization with its own space on the platform. A tenant has one stream, whose id is the tenant's id.

use chrono::{DateTime, Utc};
use kernel::{Aggregate, Personal, Refusal};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

kernel::events! {
    /// Events of a tenant.
    pub enum TenantEvent of "user.tenant" {
        /// A tenant was requested; it is being set up.
        TenantRequested = "user.tenant.requested" @ 1 {
            /// Short name of the tenant, used in addresses.
            pub slug: String,
            /// Display name.
            pub name: String,
            /// E-mail address to which the first owner's invitation is sent, in lower case.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub owner: Option<Personal<String>>,
        },
        /// The tenant is set up and can be used.
        TenantActivated = "user.tenant.activated" @ 1 {},
        /// The tenant could not be set up, and what had been created was removed. Final.
        TenantAbandoned = "user.tenant.abandoned" @ 1 {},
        /// The tenant was suspended: none of its users and machines can do anything for now.
        TenantSuspended = "user.tenant.suspended" @ 1 { pub reason: String },
        /// The tenant was resumed and can be used again.
        TenantResumed = "user.tenant.resumed" @ 1 {},
        /// The deletion of the tenant was requested. From now on none of its users and machines can do anything; it can be restored until
        /// it is deleted.
        TenantDeletionRequested = "user.tenant.deletion_requested" @ 1 {
            pub reason: String,
            /// When the tenant is deleted, unless it is restored before.
            pub due_at: DateTime<Utc>,
        },
        /// The deletion was cancelled.
        TenantRestored = "user.tenant.restored" @ 1 {
            /// Whether the tenant is suspended, as it was before the deletion was requested.
            #[serde(default)]
            pub suspended: bool,
        },
        /// The tenant is deleted: its data is being destroyed. Final, and the tenant's last event.
        TenantDeleted = "user.tenant.deleted" @ 1 {},
        /// The e-mail address to which the first owner's invitation was sent was erased.
        TenantOwnerErased = "user.tenant.owner_erased" @ 1 {},
    }
}

/// State of a tenant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TenantStatus {
    /// It is being set up.
    #[default]
    Requested,
    /// It can be used.
    Active,
    /// The tenant was suspended: none of its users and machines can do anything for now.
    Suspended,
    /// It could not be set up. Final.
    Abandoned,
    /// None of its users and machines can do anything, and it will be deleted unless it is restored in time.
    Deleting,
    /// It is deleted. Final.
    Deleted,
}

impl TenantStatus {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Abandoned => "abandoned",
            Self::Deleting => "deleting",
            Self::Deleted => "deleted",
        }
    }
}

/// A tenant, as it results from its events.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tenant {
    pub status: TenantStatus,
    pub slug: String,
    pub name: String,
    pub owner: Option<Personal<String>>,
    /// If its deletion was requested: when it is deleted, and its state before.
    #[serde(default)]
    pub deletion: Option<Deletion>,
}

/// A requested deletion of a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deletion {
    /// When it is deleted, unless it is restored before.
    pub due_at: DateTime<Utc>,
    /// Whether it was suspended before, and is again when it is restored.
    pub suspended: bool,
}

/// Commands for a tenant. The form of their values has been checked.
#[derive(Clone, Debug, PartialEq)]
pub enum TenantCommand {
    Request(TenantRequested),
    Activate,
    Abandon,
    Suspend {
        reason: String,
    },
    Resume,
    /// Delete it at a time; a repeated request does not change that time.
    RequestDeletion {
        reason: String,
        due_at: DateTime<Utc>,
    },
    /// Cancel the deletion.
    Restore,
    /// Delete it, if its time has come.
    Delete {
        now: DateTime<Utc>,
    },
    /// Erase the e-mail address of its first owner's invitation.
    EraseOwner,
}

/// Why a tenant refuses a command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TenantError {
    /// The state of the tenant does not allow it.
    #[error("a tenant that is {} can't be {step}", .status.as_str())]
    StepNotAllowed { step: &'static str, status: TenantStatus },
    /// It is too early to delete it.
    #[error("the tenant is deleted at {}, not before: until then it can be restored", kernel::write_time(*.due_at))]
    NotYet { due_at: DateTime<Utc> },
}

impl From<TenantError> for Refusal {
    fn from(error: TenantError) -> Self {
        match error {
            TenantError::StepNotAllowed { status, .. } => {
                Self::conflict("tenant_step_not_allowed", error.to_string()).with("state", status.as_str())
            }
            TenantError::NotYet { due_at } => {
                Self::conflict("tenant_deletion_not_due", error.to_string()).with("due_at", kernel::write_time(due_at))
            }
        }
    }
}

impl Tenant {
    fn change_status(
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
    const FORM: u32 = 3;
    const SEALED: bool = true;
    type Command = TenantCommand;
    type Event = TenantEvent;
    type Error = TenantError;

    fn decide(&self, command: TenantCommand) -> Result<Vec<TenantEvent>, TenantError> {
        use TenantStatus::{Abandoned, Active, Deleted, Deleting, Requested, Suspended};
        match command {
            TenantCommand::Request(requested) => Ok(vec![requested.into()]),
            TenantCommand::Activate => self.change_status(&[Requested], Active, "activated", TenantActivated {}.into()),
            // Also if everything but the end of its saga is done, and whatever operators did with it since it is active: nobody could use it
            // yet.
            TenantCommand::Abandon => {
                let event = TenantAbandoned {}.into();
                self.change_status(&[Requested, Active, Suspended, Deleting], Abandoned, "abandoned", event)
            }
            TenantCommand::Suspend { reason } => {
                self.change_status(&[Active], Suspended, "suspended", TenantSuspended { reason }.into())
            }
            TenantCommand::Resume => self.change_status(&[Suspended], Active, "resumed", TenantResumed {}.into()),
            TenantCommand::RequestDeletion { reason, due_at } => {
                let event = TenantDeletionRequested { reason, due_at }.into();
                self.change_status(&[Active, Suspended], Deleting, "deleted", event)
            }
            // If no deletion is scheduled, there is nothing to cancel. A deleted tenant can't be restored.
            TenantCommand::Restore if matches!(self.status, Active | Suspended) => Ok(vec![]),
            TenantCommand::Restore => {
                let suspended = self.deletion.is_some_and(|deletion| deletion.suspended);
                self.change_status(&[Deleting], Active, "restored", TenantRestored { suspended }.into())
            }
            TenantCommand::Delete { now } => match self.deletion {
                Some(Deletion { due_at, .. }) if now < due_at => Err(TenantError::NotYet { due_at }),
                _ => self.change_status(&[Deleting], Deleted, "deleted for good", TenantDeleted {}.into()),
            },
            TenantCommand::EraseOwner if self.owner.is_none() => Ok(vec![]),
            TenantCommand::EraseOwner => Ok(vec![TenantOwnerErased {}.into()]),
        }
    }

    fn evolve(&mut self, event: TenantEvent) {
        match event {
            TenantEvent::TenantRequested(e) => (self.slug, self.name, self.owner) = (e.slug, e.name, e.owner),
            TenantEvent::TenantActivated(_) | TenantEvent::TenantResumed(_) => self.status = TenantStatus::Active,
            TenantEvent::TenantAbandoned(_) => (self.status, self.deletion) = (TenantStatus::Abandoned, None),
            TenantEvent::TenantSuspended(_) => self.status = TenantStatus::Suspended,
            TenantEvent::TenantDeletionRequested(TenantDeletionRequested { due_at, .. }) => {
                let suspended = self.status == TenantStatus::Suspended;
                (self.status, self.deletion) = (TenantStatus::Deleting, Some(Deletion { due_at, suspended }));
            }
            TenantEvent::TenantRestored(TenantRestored { suspended }) => {
                self.status = if suspended { TenantStatus::Suspended } else { TenantStatus::Active };
                self.deletion = None;
            }
            TenantEvent::TenantDeleted(_) => self.status = TenantStatus::Deleted,
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
    }

    #[test]
    fn a_tenant_is_abandoned_whatever_operators_did_with_it_unless_it_is_deleted() {
        let active = || TenantActivated {}.into();
        let suspended = || TenantSuspended { reason: String::new() }.into();
        let abandoned = || TenantAbandoned {}.into();
        for before in [vec![], vec![active()], vec![active(), suspended()], vec![active(), suspended(), requested(100)]]
        {
            given(before).when(TenantCommand::Abandon).then_expect_events(vec![abandoned()]);
        }
        given(vec![active(), abandoned()]).when(TenantCommand::Abandon).then_expect_events(vec![]);
        // Its deletion ends with it.
        let mut tenant = Tenant::default();
        for event in [active(), requested(100), abandoned()] {
            tenant.evolve(event);
        }
        assert_eq!((tenant.status, tenant.deletion), (TenantStatus::Abandoned, None));
        let status = TenantStatus::Deleted;
        given(vec![active(), requested(100), TenantDeleted {}.into()])
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

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).unwrap()
    }

    fn delete(due: i64) -> TenantCommand {
        TenantCommand::RequestDeletion { reason: "left".to_owned(), due_at: at(due) }
    }

    fn requested(due: i64) -> TenantEvent {
        TenantDeletionRequested { reason: "left".to_owned(), due_at: at(due) }.into()
    }

    #[test]
    fn a_tenant_is_deleted_at_its_time_and_not_before_and_that_is_final() {
        let active = || TenantActivated {}.into();
        let due = |now| TenantCommand::Delete { now: at(now) };
        given(vec![active()]).when(delete(100)).then_expect_events(vec![requested(100)]);
        // A repeated request does not change the time.
        given(vec![active(), requested(100)]).when(delete(50)).then_expect_events(vec![]);
        given(vec![active(), requested(100)]).when(due(99)).then_expect_error(TenantError::NotYet { due_at: at(100) });
        given(vec![active(), requested(100)]).when(due(100)).then_expect_events(vec![TenantDeleted {}.into()]);
        let deleted = || vec![active(), requested(100), TenantDeleted {}.into()];
        given(deleted()).when(due(101)).then_expect_events(vec![]);
        let status = TenantStatus::Deleted;
        for (command, step) in [
            (TenantCommand::Restore, "restored"),
            (TenantCommand::Resume, "resumed"),
            (suspend(), "suspended"),
            (delete(200), "deleted"),
        ] {
            given(deleted()).when(command).then_expect_error(TenantError::StepNotAllowed { step, status });
        }
    }

    #[test]
    fn a_tenant_that_is_restored_is_what_it_was() {
        let active = || TenantActivated {}.into();
        let suspended = || TenantSuspended { reason: "unpaid".to_owned() }.into();
        let restored = |suspended| TenantRestored { suspended }.into();
        given(vec![active(), requested(100)]).when(TenantCommand::Restore).then_expect_events(vec![restored(false)]);
        given(vec![active(), suspended(), requested(100)])
            .when(TenantCommand::Restore)
            .then_expect_events(vec![restored(true)]);
        let again = vec![active(), suspended(), requested(100), restored(true)];
        given(again.clone()).when(TenantCommand::Restore).then_expect_events(vec![]);
        given(again.clone()).when(TenantCommand::Resume).then_expect_events(vec![TenantResumed {}.into()]);
        given(again).when(delete(300)).then_expect_events(vec![requested(300)]);
        // While its deletion is scheduled, a tenant can't be suspended or resumed.
        let status = TenantStatus::Deleting;
        given(vec![active(), requested(100)])
            .when(TenantCommand::Resume)
            .then_expect_error(TenantError::StepNotAllowed { step: "resumed", status });
        given(vec![active()])
            .when(TenantCommand::Delete { now: at(0) })
            .then_expect_error(TenantError::StepNotAllowed { step: "deleted for good", status: TenantStatus::Active });
    }
}
