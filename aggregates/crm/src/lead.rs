//! Lead: somebody who might buy.

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
    /// What can happen to a lead.
    pub enum LeadEvent of "crm.lead" {
        /// A lead came in.
        LeadCaptured = "crm.lead.captured" @ 1 {
            /// Who it is and how to reach them.
            pub details: LeadDetails,
            /// Where it came from.
            pub source: LeadSource,
            /// The user who works on it, by the subject of their token; absent: nobody yet.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub owner: Option<String>,
            /// The import that brought it.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub import: Option<ImportId>,
        },
        /// Its details were corrected or completed; these are all of them.
        LeadDetailsChanged = "crm.lead.details_changed" @ 1 { pub details: LeadDetails },
        /// A user was made responsible for it.
        LeadAssigned = "crm.lead.assigned" @ 1 {
            /// The user, by the subject of their token.
            pub owner: String,
        },
        /// Its owner began to work on it.
        LeadWorkStarted = "crm.lead.work_started" @ 1 {},
        /// It is worth selling to.
        LeadQualified = "crm.lead.qualified" @ 1 {
            /// Why, in the owner's words.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub note: Option<Personal<String>>,
        },
        /// It became an account, a contact and an opportunity.
        LeadConverted = "crm.lead.converted" @ 1 {
            pub account: AccountId,
            pub contact: ContactId,
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub opportunity: Option<OpportunityId>,
        },
        /// It goes back: perhaps later.
        LeadRecycled = "crm.lead.recycled" @ 1 { pub reason: Personal<String> },
        /// It will not buy.
        LeadDisqualified = "crm.lead.disqualified" @ 1 {
            pub reason: DisqualifyReason,
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub note: Option<Personal<String>>,
        },
        /// Nobody touched it for too long; somebody else was told.
        LeadEscalated = "crm.lead.escalated" @ 1 {
            /// Who was told, by the subject of their token.
            pub to: String,
            /// When it was last touched.
            pub untouched_since: DateTime<Utc>,
        },
        /// That it was escalated was taken back.
        LeadEscalationWithdrawn = "crm.lead.escalation_withdrawn" @ 1 {},
        /// It was taken back together with the import that brought it.
        LeadWithdrawn = "crm.lead.withdrawn" @ 1 { pub import: ImportId },
        /// It is there again: its import was not reverted after all.
        LeadRestored = "crm.lead.restored" @ 1 {},
        /// Nothing that tells who it was is kept any more.
        LeadErased = "crm.lead.erased" @ 1 { pub reason: ErasureReason },
    }
}

/// Who a lead is and how to reach them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LeadDetails {
    /// The person's full name.
    pub name: Personal<String>,
    /// The organization they speak for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub company: Option<String>,
    /// What they do there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// E-mail address, lower case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<Personal<String>>,
    /// E.164.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<Personal<String>>,
    /// ISO 3166-1 alpha-2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// Where post reaches them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Personal<PostalAddress>>,
}

/// Where a lead came from.
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

/// Where a lead stands in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LeadStatus {
    /// Captured, nobody responsible.
    #[default]
    New,
    Assigned,
    InProcess,
    Qualified,
    /// Final.
    Converted,
    /// Can be assigned again.
    Recycled,
    /// Final.
    Disqualified,
    /// Taken back together with the import that brought it.
    Withdrawn,
    /// Nothing that tells who it was is kept. Final.
    Erased,
}
