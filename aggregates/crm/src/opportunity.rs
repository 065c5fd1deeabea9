//! Opportunity: a possible sale that moves through a pipeline.

use chrono::NaiveDate;
use kernel::Money;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{AccountId, ContactId, LeadId, PipelineId, StageId};

mod life;

pub use life::{Opportunity, OpportunityCommand, OpportunityError, OpportunityStep};

kernel::events! {
    /// The events of an opportunity.
    pub enum OpportunityEvent of "crm.opportunity" {
        /// An opportunity was opened.
        OpportunityOpened = "crm.opportunity.opened" @ 1 {
            /// Its name.
            pub name: String,
            /// The account that buys. Absent: none.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub account: Option<AccountId>,
            /// The contact person. Absent: none.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub contact: Option<ContactId>,
            /// The pipeline. It never changes.
            pub pipeline: PipelineId,
            pub stage: StageId,
            /// The amount, at least 0. If there are line items, it is their sum.
            pub amount: Money,
            /// Expected close date.
            pub close_date: NaiveDate,
            /// The responsible user, as the subject of their token.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub owner: Option<String>,
            /// The line items that make up the amount. Empty if the amount was set without line items.
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            pub line_items: Vec<LineItem>,
            /// The lead that was converted into it.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub lead: Option<LeadId>,
        },
        /// The opportunity was renamed.
        OpportunityRenamed = "crm.opportunity.renamed" @ 1 {
            /// Its new name.
            pub name: String,
        },
        /// The opportunity moved to another stage of its pipeline.
        OpportunityStageChanged = "crm.opportunity.stage_changed" @ 1 { pub from: StageId, pub to: StageId },
        /// The opportunity's amount changed. If there are line items, the event contains all of them, and the amount is their
        /// sum.
        OpportunityAmountChanged = "crm.opportunity.amount_changed" @ 1 {
            pub amount: Money,
            /// The line items that make up the amount. Empty if the amount was set without line items.
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            pub line_items: Vec<LineItem>,
        },
        /// The opportunity's expected close date changed.
        OpportunityCloseDateChanged = "crm.opportunity.close_date_changed" @ 1 {
            /// Expected close date.
            pub close_date: NaiveDate,
        },
        /// The opportunity was assigned to another user.
        OpportunityReassigned = "crm.opportunity.reassigned" @ 1 {
            /// The responsible user, as the subject of their token.
            pub owner: String,
        },
        /// The opportunity's account was changed or removed.
        OpportunityAccountChanged = "crm.opportunity.account_changed" @ 1 {
            /// The account that buys. Absent: none.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub account: Option<AccountId>,
        },
        /// The opportunity's contact was changed or removed.
        OpportunityContactChanged = "crm.opportunity.contact_changed" @ 1 {
            /// The contact person. Absent: none.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub contact: Option<ContactId>,
        },
        /// The opportunity was closed as won.
        OpportunityWon = "crm.opportunity.won" @ 1 {
            /// The stage in which it was won.
            pub last_stage: StageId,
        },
        /// The opportunity was closed as lost.
        OpportunityLost = "crm.opportunity.lost" @ 1 {
            /// Why it was lost, as free text.
            pub reason: String,
            /// The stage in which it was lost.
            pub last_stage: StageId,
        },
        /// A closed opportunity was reopened.
        OpportunityReopened = "crm.opportunity.reopened" @ 1 { pub stage: StageId },
    }
}

/// A line item: something that is sold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LineItem {
    /// The name of the product or service.
    pub name: String,
    /// Quantity, at least 1.
    pub quantity: u32,
    /// Unit price in minor units of the opportunity's currency, at least 0.
    pub unit_price_minor: i64,
}

/// The status of an opportunity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OpportunityStatus {
    #[default]
    Open,
    Won,
    Lost,
}
