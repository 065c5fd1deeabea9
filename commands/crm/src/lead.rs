//! What can be asked of a lead.

use crm_aggregates::{DisqualifyReason, LeadId, LeadSource};

/// Who a lead is, as sent; checked when the command runs.
#[derive(Clone, Debug, Default)]
pub struct LeadFields {
    /// Full name of the person.
    pub name: String,
    /// The organization they speak for.
    pub company: Option<String>,
    /// What they do there.
    pub title: Option<String>,
    /// E-mail address.
    pub email: Option<String>,
    /// Telephone number in international form.
    pub phone: Option<String>,
    /// ISO 3166-1 alpha-2.
    pub country: Option<String>,
}

/// Takes a new lead in. With an owner it is assigned at once.
#[derive(Clone, Debug, Default)]
pub struct CaptureLead {
    /// Who it is.
    pub details: LeadFields,
    /// Where it came from.
    pub source: LeadSource,
    /// The user who works on it.
    pub owner: Option<String>,
}

/// Replaces a lead's details: these are all of them.
#[derive(Clone, Debug)]
pub struct ChangeLeadDetails {
    pub lead: LeadId,
    pub details: LeadFields,
}

/// Makes a user responsible.
#[derive(Clone, Debug)]
pub struct AssignLead {
    pub lead: LeadId,
    pub owner: String,
}

/// Its owner begins to work on it.
#[derive(Clone, Debug)]
pub struct StartLeadWork {
    pub lead: LeadId,
}

/// It is worth selling to.
#[derive(Clone, Debug)]
pub struct QualifyLead {
    pub lead: LeadId,
    pub note: Option<String>,
}

/// It goes back: perhaps later.
#[derive(Clone, Debug)]
pub struct RecycleLead {
    pub lead: LeadId,
    pub reason: String,
}

/// It will not buy.
#[derive(Clone, Debug)]
pub struct DisqualifyLead {
    pub lead: LeadId,
    pub reason: DisqualifyReason,
    pub note: Option<String>,
}
crate::pending! {
    CaptureLead: LeadId, "crm:lead:write";
    ChangeLeadDetails: (), "crm:lead:write";
    AssignLead: (), "crm:lead:write";
    StartLeadWork: (), "crm:lead:write";
    QualifyLead: (), "crm:lead:write";
    RecycleLead: (), "crm:lead:write";
    DisqualifyLead: (), "crm:lead:write";
}
