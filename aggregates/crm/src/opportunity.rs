//! Opportunity: a deal on its way through a pipeline.

use chrono::NaiveDate;
use kernel::Money;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{AccountId, ContactId, LeadId, PipelineId, StageId};

mod rules;

pub use rules::{Opportunity, OpportunityCommand, OpportunityError, OpportunityStep};

kernel::events! {
    /// What can happen to an opportunity.
    pub enum OpportunityEvent of "crm.opportunity" {
        /// A deal came into sight.
        OpportunityOpened = "crm.opportunity.opened" @ 1 {
            /// What it is about.
            pub name: String,
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub account: Option<AccountId>,
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub contact: Option<ContactId>,
            /// One pipeline, for good.
            pub pipeline: PipelineId,
            pub stage: StageId,
            /// At least 0.
            pub amount: Money,
            /// Expected day of closing.
            pub close_date: NaiveDate,
            /// The user responsible.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub owner: Option<String>,
            /// What the amount is made of; empty: the amount stands alone.
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            pub line_items: Vec<LineItem>,
            /// The lead that it was converted from.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub lead: Option<LeadId>,
        },
        /// It was renamed.
        OpportunityRenamed = "crm.opportunity.renamed" @ 1 { pub name: String },
        /// It moved to another stage of its pipeline.
        OpportunityStageChanged = "crm.opportunity.stage_changed" @ 1 { pub from: StageId, pub to: StageId },
        /// Its amount changed; with line items, these are all of them and their sum is the amount.
        OpportunityAmountChanged = "crm.opportunity.amount_changed" @ 1 {
            pub amount: Money,
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            pub line_items: Vec<LineItem>,
        },
        /// It is expected to close on another day.
        OpportunityCloseDateChanged = "crm.opportunity.close_date_changed" @ 1 { pub close_date: NaiveDate },
        /// Another user is responsible.
        OpportunityReassigned = "crm.opportunity.reassigned" @ 1 { pub owner: String },
        /// It is with another account, or with none.
        OpportunityAccountChanged = "crm.opportunity.account_changed" @ 1 {
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub account: Option<AccountId>,
        },
        /// We talk to another person about it, or to nobody yet.
        OpportunityContactChanged = "crm.opportunity.contact_changed" @ 1 {
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub contact: Option<ContactId>,
        },
        /// The customer signed.
        OpportunityWon = "crm.opportunity.won" @ 1 {
            /// The stage in which it was won.
            pub last_stage: StageId,
        },
        /// The customer will not sign.
        OpportunityLost = "crm.opportunity.lost" @ 1 {
            pub reason: String,
            /// The stage in which it was lost.
            pub last_stage: StageId,
        },
        /// A closed deal is open again.
        OpportunityReopened = "crm.opportunity.reopened" @ 1 { pub stage: StageId },
    }
}

/// A line of what is sold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LineItem {
    /// What it is.
    pub name: String,
    /// How many, at least 1.
    pub quantity: u32,
    /// Price of one, in minor units of the opportunity's currency, at least 0.
    pub unit_price_minor: i64,
}

/// Where an opportunity stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OpportunityStatus {
    #[default]
    Open,
    Won,
    Lost,
}
