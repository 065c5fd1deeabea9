//! The life cycle of a lead: which steps are allowed in which status.

use crate::LeadStatus;

/// A step in a lead's life, by the name that a refusal lists it under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeadStep {
    ChangeDetails,
    Assign,
    StartWork,
    Qualify,
    Convert,
    Recycle,
    Disqualify,
}

impl LeadStep {
    /// Its name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ChangeDetails => "change_details",
            Self::Assign => "assign",
            Self::StartWork => "start_work",
            Self::Qualify => "qualify",
            Self::Convert => "convert",
            Self::Recycle => "recycle",
            Self::Disqualify => "disqualify",
        }
    }
}

impl LeadStatus {
    /// All statuses.
    pub const ALL: [Self; 9] = [
        Self::New,
        Self::Assigned,
        Self::InProcess,
        Self::Qualified,
        Self::Converted,
        Self::Recycled,
        Self::Disqualified,
        Self::Withdrawn,
        Self::Erased,
    ];

    /// Its name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Assigned => "assigned",
            Self::InProcess => "in_process",
            Self::Qualified => "qualified",
            Self::Converted => "converted",
            Self::Recycled => "recycled",
            Self::Disqualified => "disqualified",
            Self::Withdrawn => "withdrawn",
            Self::Erased => "erased",
        }
    }

    /// The steps that a lead of this status may take: the whole life cycle.
    pub const fn allowed(self) -> &'static [LeadStep] {
        use LeadStep::{Assign, ChangeDetails, Convert, Disqualify, Qualify, Recycle, StartWork};
        match self {
            Self::New | Self::Recycled => &[ChangeDetails, Assign, Disqualify],
            Self::Assigned => &[ChangeDetails, Assign, StartWork, Recycle, Disqualify],
            Self::InProcess => &[ChangeDetails, Assign, Qualify, Recycle, Disqualify],
            Self::Qualified => &[ChangeDetails, Assign, Convert, Recycle, Disqualify],
            Self::Converted | Self::Disqualified | Self::Withdrawn | Self::Erased => &[],
        }
    }

    /// The status of a lead that was not changed since it was captured, with or without an owner.
    pub const fn untouched(owned: bool) -> Self {
        if owned { Self::Assigned } else { Self::New }
    }

    /// The status after the lead got an owner. A lead on which work has begun keeps its status.
    #[must_use]
    pub const fn once_assigned(self) -> Self {
        match self {
            Self::New | Self::Recycled => Self::Assigned,
            other => other,
        }
    }
}
