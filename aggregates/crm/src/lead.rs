//! Lead: a potential customer.

use chrono::{DateTime, Utc};
use kernel::{Personal, PostalAddress};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{AccountId, ContactId, ErasureReason, ImportId, OpportunityId};

mod life;
mod step;

pub use life::{Lead, LeadCommand, LeadError};
pub use step::LeadStep;

kernel::events! {
    /// The events of a lead.
    pub enum LeadEvent of "crm.lead" {
        /// A lead was captured.
        LeadCaptured = "crm.lead.captured" @ 1 {
            /// Who the person is and how to reach them.
            pub details: LeadDetails,
            /// The source of the lead.
            pub source: LeadSource,
            /// The responsible user, as the subject of their token. Absent if nobody is responsible yet.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub owner: Option<String>,
            /// The import that created it.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub import: Option<ImportId>,
        },
        /// The lead's details were changed. The event contains all of them.
        LeadDetailsChanged = "crm.lead.details_changed" @ 1 { pub details: LeadDetails },
        /// The lead was assigned to a user.
        LeadAssigned = "crm.lead.assigned" @ 1 {
            /// The responsible user, as the subject of their token.
            pub owner: String,
        },
        /// Work on the lead was started.
        LeadWorkStarted = "crm.lead.work_started" @ 1 {},
        /// The lead was qualified as worth selling to.
        LeadQualified = "crm.lead.qualified" @ 1 {
            /// Why it was qualified, as free text.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub note: Option<Personal<String>>,
        },
        /// The lead was converted into an account, a contact and, if one was opened, an opportunity.
        LeadConverted = "crm.lead.converted" @ 1 {
            pub account: AccountId,
            pub contact: ContactId,
            /// The opportunity. Absent if none was opened.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub opportunity: Option<OpportunityId>,
        },
        /// The lead was recycled: it is set aside and can be assigned again later.
        LeadRecycled = "crm.lead.recycled" @ 1 {
            /// Why, as free text.
            pub reason: Personal<String>,
        },
        /// The lead was disqualified: it will not buy.
        LeadDisqualified = "crm.lead.disqualified" @ 1 {
            pub reason: DisqualifyReason,
            /// A note, as free text.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub note: Option<Personal<String>>,
        },
        /// The lead was escalated to another user, because it was without activity for too long.
        LeadEscalated = "crm.lead.escalated" @ 1 {
            /// The user to whom it was escalated, as the subject of their token.
            pub to: String,
            /// When the last activity on the lead was.
            pub untouched_since: DateTime<Utc>,
        },
        /// The escalation of the lead was withdrawn.
        LeadEscalationWithdrawn = "crm.lead.escalation_withdrawn" @ 1 {},
        /// The lead was withdrawn, because the import that created it is being reverted.
        LeadWithdrawn = "crm.lead.withdrawn" @ 1 { pub import: ImportId },
        /// The lead was restored after it had been withdrawn, because its import is not reverted after all.
        LeadRestored = "crm.lead.restored" @ 1 {},
        /// The lead's personal data was erased.
        LeadErased = "crm.lead.erased" @ 1 { pub reason: ErasureReason },
    }
}

/// Who a lead is and how to reach them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LeadDetails {
    /// The person's full name.
    pub name: Personal<String>,
    /// The organization that the person represents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub company: Option<String>,
    /// Job title at that organization.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// E-mail address, lower case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<Personal<String>>,
    /// Telephone number in E.164 format.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<Personal<String>>,
    /// ISO 3166-1 alpha-2 country code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// Postal address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Personal<PostalAddress>>,
}

/// The source of a lead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LeadSource {
    Website,
    Referral,
    Event,
    ColdCall,
    Campaign,
    Partner,
    #[default]
    Other,
}

impl LeadSource {
    /// All sources.
    pub const ALL: [Self; 7] =
        [Self::Website, Self::Referral, Self::Event, Self::ColdCall, Self::Campaign, Self::Partner, Self::Other];

    /// Its name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Website => "website",
            Self::Referral => "referral",
            Self::Event => "event",
            Self::ColdCall => "cold_call",
            Self::Campaign => "campaign",
            Self::Partner => "partner",
            Self::Other => "other",
        }
    }
}

/// Why a lead was disqualified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DisqualifyReason {
    NoBudget,
    NoNeed,
    NoAnswer,
    Competitor,
    Duplicate,
    Spam,
    Other,
}

impl DisqualifyReason {
    /// All reasons.
    pub const ALL: [Self; 7] =
        [Self::NoBudget, Self::NoNeed, Self::NoAnswer, Self::Competitor, Self::Duplicate, Self::Spam, Self::Other];

    /// Its name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoBudget => "no_budget",
            Self::NoNeed => "no_need",
            Self::NoAnswer => "no_answer",
            Self::Competitor => "competitor",
            Self::Duplicate => "duplicate",
            Self::Spam => "spam",
            Self::Other => "other",
        }
    }
}

/// The status of a lead in its life cycle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LeadStatus {
    /// Captured, without a responsible user.
    #[default]
    New,
    Assigned,
    InProcess,
    Qualified,
    /// A final status.
    Converted,
    /// Set aside for later. It can be assigned again.
    Recycled,
    /// A final status.
    Disqualified,
    /// Withdrawn, because the import that created it was reverted.
    Withdrawn,
    /// The personal data was erased. A final status.
    Erased,
}
