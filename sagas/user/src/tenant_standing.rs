//! The status of a tenant in the directory, as it follows from the tenant's events.

use kernel::{DecodeError, RecordedEvent};
use user_aggregates::{TenantEvent, TenantRestored};

/// The status of a tenant in the directory, which each process reads when it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TenantStanding {
    /// It can be used.
    Active,
    /// Suspended: all requests of its users are refused.
    Suspended,
    /// Scheduled for deletion: all requests of its users are refused, and it is deleted at the end of its grace period.
    Deleting,
}

impl TenantStanding {
    /// The types of the events that change the status.
    pub const TOLD_BY: &'static [&'static str] =
        &["user.tenant.suspended", "user.tenant.resumed", "user.tenant.deletion_requested", "user.tenant.restored"];

    /// The status after an event; `None` if the event does not change it. To get the status from a history, take the last one that is not
    /// `None`.
    ///
    /// # Errors
    /// The event is one of [`TOLD_BY`](Self::TOLD_BY), but this program can't read it.
    pub fn after(event: &RecordedEvent) -> Result<Option<Self>, DecodeError> {
        if !Self::TOLD_BY.contains(&event.event_type.as_str()) {
            return Ok(None);
        }
        let told = event.decode::<TenantEvent>()?;
        Ok(told.into_iter().fold(None, |before, event| match event {
            TenantEvent::TenantSuspended(_) | TenantEvent::TenantRestored(TenantRestored { suspended: true }) => {
                Some(Self::Suspended)
            }
            TenantEvent::TenantResumed(_) | TenantEvent::TenantRestored(_) => Some(Self::Active),
            TenantEvent::TenantDeletionRequested(_) => Some(Self::Deleting),
            _ => before,
        }))
    }

    /// The name in the directory.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Deleting => "deleting",
        }
    }
}
