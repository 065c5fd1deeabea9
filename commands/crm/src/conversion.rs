//! Conversion: a lead becomes an account, a contact and an opportunity, together and once.

use chrono::NaiveDate;
use crm_aggregates::{AccountId, ContactId, LeadId, OpportunityId, PipelineId, StageId};
use serde::{Deserialize, Serialize};

use crate::MoneyFields;

/// Converts a qualified lead. Asked again, it answers what became of the lead the first time.
#[derive(Clone, Debug)]
pub struct ConvertLead {
    pub lead: LeadId,
    /// An account that exists; none: a new one, named after the lead's company.
    pub account: Option<AccountId>,
    /// Name of the new account, if not the lead's company (or the person's name, when it has none).
    pub account_name: Option<String>,
    /// A contact that exists; none: a new one with the lead's details.
    pub contact: Option<ContactId>,
    /// The deal in sight, if there is one.
    pub opportunity: Option<NewOpportunity>,
    /// Go on although another contact has the lead's e-mail address.
    pub allow_duplicate: bool,
}

/// The opportunity that a conversion opens.
#[derive(Clone, Debug)]
pub struct NewOpportunity {
    pub name: String,
    pub pipeline: PipelineId,
    /// None: the first stage that is not retired.
    pub stage: Option<StageId>,
    pub amount: MoneyFields,
    pub close_date: NaiveDate,
}

/// What became of a lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conversion {
    pub account: AccountId,
    pub contact: ContactId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opportunity: Option<OpportunityId>,
}
crate::pending! { ConvertLead: Conversion, "crm:lead:write"; }
