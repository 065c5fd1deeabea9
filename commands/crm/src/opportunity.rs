//! What can be asked of an opportunity.

use chrono::NaiveDate;
use crm_aggregates::{AccountId, ContactId, LineItem, OpportunityId, PipelineId, StageId};

use crate::MoneyFields;

/// Opens an opportunity.
#[derive(Clone, Debug)]
pub struct OpenOpportunity {
    pub name: String,
    pub account: Option<AccountId>,
    pub contact: Option<ContactId>,
    pub pipeline: PipelineId,
    /// None: the first stage that is not retired.
    pub stage: Option<StageId>,
    /// With line items: their sum.
    pub amount: MoneyFields,
    pub close_date: NaiveDate,
    /// The user responsible.
    pub owner: Option<String>,
    pub line_items: Vec<LineItem>,
}

/// Gives it another name.
#[derive(Clone, Debug)]
pub struct RenameOpportunity {
    pub opportunity: OpportunityId,
    pub name: String,
}

/// Moves it to another stage of its pipeline.
#[derive(Clone, Debug)]
pub struct MoveOpportunity {
    pub opportunity: OpportunityId,
    pub stage: StageId,
}

/// Changes its amount; the line items are all of them, and their sum is the amount.
#[derive(Clone, Debug)]
pub struct ChangeOpportunityAmount {
    pub opportunity: OpportunityId,
    pub amount: MoneyFields,
    pub line_items: Vec<LineItem>,
}

/// Expects it to close on another day.
#[derive(Clone, Debug)]
pub struct ChangeOpportunityCloseDate {
    pub opportunity: OpportunityId,
    pub close_date: NaiveDate,
}

/// Makes another user responsible.
#[derive(Clone, Debug)]
pub struct ReassignOpportunity {
    pub opportunity: OpportunityId,
    pub owner: String,
}

/// The customer signed.
#[derive(Clone, Debug)]
pub struct WinOpportunity {
    pub opportunity: OpportunityId,
}

/// The customer will not sign.
#[derive(Clone, Debug)]
pub struct LoseOpportunity {
    pub opportunity: OpportunityId,
    pub reason: String,
}

/// Opens a closed deal again.
#[derive(Clone, Debug)]
pub struct ReopenOpportunity {
    pub opportunity: OpportunityId,
    /// None: the stage in which it was closed.
    pub stage: Option<StageId>,
}
crate::pending! {
    OpenOpportunity: OpportunityId, "crm:opportunity:write";
    RenameOpportunity: (), "crm:opportunity:write";
    MoveOpportunity: (), "crm:opportunity:write";
    ChangeOpportunityAmount: (), "crm:opportunity:write";
    ChangeOpportunityCloseDate: (), "crm:opportunity:write";
    ReassignOpportunity: (), "crm:opportunity:write";
    WinOpportunity: (), "crm:opportunity:write";
    LoseOpportunity: (), "crm:opportunity:write";
    ReopenOpportunity: (), "crm:opportunity:write";
}
