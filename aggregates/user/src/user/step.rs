//! The life cycle of a user: which steps are allowed in which status.

use crate::{UserCommand, UserStatus};

/// A step in a user's life, by the name that a refusal lists it under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserStep {
    Change,
    Verify,
    VerifyPhone,
    Assign,
    Lock,
    Unlock,
    Deactivate,
    Reactivate,
    Remove,
    Erase,
}

impl UserStep {
    /// Its name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Change => "change",
            Self::Verify => "verify_email",
            Self::VerifyPhone => "verify_phone",
            Self::Assign => "assign",
            Self::Lock => "lock",
            Self::Unlock => "unlock",
            Self::Deactivate => "deactivate",
            Self::Reactivate => "reactivate",
            Self::Remove => "remove",
            Self::Erase => "erase",
        }
    }
}

impl UserStatus {
    /// Its name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Locked => "locked",
            Self::Deactivated => "deactivated",
            Self::Removed => "removed",
            Self::Erased => "erased",
        }
    }

    /// The steps that a user of this status may take: the whole life cycle.
    pub const fn allowed(self) -> &'static [UserStep] {
        use UserStep::{Assign, Change, Deactivate, Erase, Lock, Reactivate, Remove, Unlock, Verify, VerifyPhone};
        match self {
            Self::Active => &[Change, Verify, VerifyPhone, Assign, Lock, Deactivate, Remove, Erase],
            Self::Locked => &[Change, Assign, Unlock, Deactivate, Remove, Erase],
            Self::Deactivated => &[Change, Assign, Reactivate, Remove, Erase],
            Self::Removed => &[Erase],
            Self::Erased => &[],
        }
    }

    /// Whether the status is one of an existing user: they keep their login names, and can sign in now or later.
    pub const fn is_present(self) -> bool {
        matches!(self, Self::Active | Self::Locked | Self::Deactivated)
    }
}

impl UserCommand {
    /// The step that must be allowed in the user's status. `None`: the command is a change of status, which checks the previous status
    /// itself, or it is allowed in every status.
    pub(super) fn step(&self) -> Option<UserStep> {
        match self {
            Self::ChangeProfile { .. }
            | Self::SetPicture { .. }
            | Self::RemovePicture
            | Self::ChangeLogin { .. }
            | Self::ChangeExternalId { .. }
            | Self::ChangeLabels { .. } => Some(UserStep::Change),
            Self::RequestEmailVerification { .. } | Self::VerifyEmail { .. } | Self::ShowEmail { .. } => {
                Some(UserStep::Verify)
            }
            Self::RequestPhoneVerification { .. } | Self::VerifyPhone { .. } => Some(UserStep::VerifyPhone),
            Self::GrantRole { .. }
            | Self::RevokeRole { .. }
            | Self::JoinGroup { .. }
            | Self::LeaveGroup { .. }
            | Self::JoinOrganization { .. }
            | Self::LeaveOrganization { .. } => Some(UserStep::Assign),
            Self::Register(_)
            | Self::NoteRegistration { .. }
            | Self::Lock { .. }
            | Self::Unlock
            | Self::Deactivate { .. }
            | Self::Reactivate
            | Self::Remove
            | Self::Erase => None,
        }
    }
}
