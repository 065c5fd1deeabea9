//! Leads: capture, change, assign, work, qualify, recycle, disqualify. (Conversion: `conversion.rs`; import: `import.rs`.)

use chrono::{DateTime, Utc};
use crm_aggregates::{DisqualifyReason, Lead, LeadSource, LeadStatus, OpportunityId};
use crm_commands::{
    AssignLead, CaptureLead, ChangeLeadDetails, DisqualifyLead, LeadFields, QualifyLead, RecycleLead, StartLeadWork,
};
use executor::Current;
use face::{Authenticated, Command, Empty, Example, NewPostalAddress, Runtime, example};
use kernel::{Personal, PostalAddress};
use poem_openapi::OpenApi;
use poem_openapi::param::Path;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Tag;
use super::assignment::Assignment;
use super::form;
use face::operation::{ChangeResult, CreateResult, ReadResult, change, create, find_current, id};

/// The operations on leads.
pub struct Leads {
    runtime: Runtime,
}

impl Leads {
    pub fn new(runtime: Runtime) -> Self {
        Self { runtime }
    }
}

/// A new lead.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"name": "Grace Hopper", "company": "Eckert-Mauchly", "email": "grace@example.com", "address": {"locality": "Arlington", "region": "Virginia", "country": "US"}, "source": "referral"}))]
struct NewLead {
    /// Full name of the person: 1 to 200 characters.
    #[schemars(with = "form::Name")]
    name: String,
    /// The organization that the person represents.
    #[serde(default)]
    #[schemars(with = "Option<form::Name>")]
    company: Option<String>,
    /// Job title at that organization.
    #[serde(default)]
    #[schemars(with = "Option<form::Name>")]
    title: Option<String>,
    /// E-mail address.
    #[serde(default)]
    #[schemars(with = "Option<form::Email>")]
    email: Option<String>,
    /// Telephone number in international format, such as +4930123456.
    #[serde(default)]
    #[schemars(with = "Option<form::Phone>")]
    phone: Option<String>,
    /// ISO 3166-1 alpha-2 country code, such as DE.
    #[serde(default)]
    #[schemars(with = "Option<form::Country>")]
    country: Option<String>,
    /// Postal address.
    #[serde(default)]
    address: Option<NewPostalAddress>,
    /// The source of the lead.
    #[serde(default)]
    source: LeadSource,
    /// The responsible user, as the subject of their token. An id of nobody who can sign in now is refused (`cannot_sign_in`).
    #[serde(default)]
    #[schemars(with = "Option<form::Subject>")]
    owner: Option<String>,
}

/// All details of a lead. Omitted fields are cleared.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"name": "Grace Hopper", "company": "Eckert-Mauchly", "email": "grace@example.com"}))]
struct NewLeadDetails {
    /// Full name of the person: 1 to 200 characters.
    #[schemars(with = "form::Name")]
    name: String,
    /// The organization that the person represents.
    #[serde(default)]
    #[schemars(with = "Option<form::Name>")]
    company: Option<String>,
    /// Job title at that organization.
    #[serde(default)]
    #[schemars(with = "Option<form::Name>")]
    title: Option<String>,
    /// E-mail address.
    #[serde(default)]
    #[schemars(with = "Option<form::Email>")]
    email: Option<String>,
    /// Telephone number in international format, such as +4930123456.
    #[serde(default)]
    #[schemars(with = "Option<form::Phone>")]
    phone: Option<String>,
    /// ISO 3166-1 alpha-2 country code, such as DE.
    #[serde(default)]
    #[schemars(with = "Option<form::Country>")]
    country: Option<String>,
    /// Postal address.
    #[serde(default)]
    address: Option<NewPostalAddress>,
}

/// Why a lead is qualified.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"note": "has budget"}))]
struct Qualification {
    /// Free text.
    #[serde(default)]
    #[schemars(with = "Option<form::Note>")]
    note: Option<String>,
}

/// Why a lead is recycled.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"reason": "later this year"}))]
struct Recycling {
    /// Free text.
    #[schemars(with = "form::Reason")]
    reason: String,
}

/// Why a lead is disqualified.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"reason": "no_budget", "note": "next year, perhaps"}))]
struct Disqualification {
    /// The reason.
    reason: DisqualifyReason,
    /// A note, as free text.
    #[serde(default)]
    #[schemars(with = "Option<form::Note>")]
    note: Option<String>,
}

/// A lead.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Lead")]
struct LeadResource {
    /// Its id.
    id: Uuid,
    /// Its status.
    status: LeadStatus,
    /// The person's full name. Empty if the lead was erased.
    name: String,
    /// The organization that the person represents.
    #[serde(skip_serializing_if = "Option::is_none")]
    company: Option<String>,
    /// Job title at that organization.
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    /// E-mail address, lower case.
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    /// Telephone number in E.164 format.
    #[serde(skip_serializing_if = "Option::is_none")]
    phone: Option<String>,
    /// ISO 3166-1 alpha-2 country code.
    #[serde(skip_serializing_if = "Option::is_none")]
    country: Option<String>,
    /// Postal address.
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<PostalAddress>,
    /// The source of the lead.
    source: LeadSource,
    /// The responsible user, as the subject of their token.
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    /// Why it is disqualified (a code such as `no_budget`) or recycled (free text).
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// The note that was made when it was disqualified.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    /// The result of the conversion. Absent until the lead is converted.
    #[serde(skip_serializing_if = "Option::is_none")]
    conversion: Option<LeadConversion>,
    /// When it was captured.
    captured_at: DateTime<Utc>,
    /// When it last changed.
    changed_at: DateTime<Utc>,
}

/// A personal value; none if it was erased.
pub(super) fn shown<T: Clone>(value: Option<&Personal<T>>) -> Option<T> {
    value.and_then(Personal::known).cloned()
}

impl Example for LeadResource {
    fn example() -> Self {
        let conversion =
            LeadConversion { account: example::id(2), contact: example::id(3), opportunity: Some(example::id(4)) };
        Self {
            id: example::id(1),
            status: LeadStatus::Converted,
            name: "Grace Hopper".to_owned(),
            company: Some("Eckert-Mauchly".to_owned()),
            title: Some("Programmer".to_owned()),
            email: Some("grace@example.com".to_owned()),
            phone: Some("+12025550123".to_owned()),
            country: Some("US".to_owned()),
            address: Some(example::postal_address()),
            source: LeadSource::Referral,
            owner: Some("ada".to_owned()),
            reason: None,
            note: None,
            conversion: Some(conversion),
            captured_at: example::time(1),
            changed_at: example::time(5),
        }
    }
}

/// The result of a lead's conversion.
#[derive(Debug, Serialize, JsonSchema)]
struct LeadConversion {
    /// The account.
    account: Uuid,
    /// The contact.
    contact: Uuid,
    /// The opportunity.
    #[serde(skip_serializing_if = "Option::is_none")]
    opportunity: Option<Uuid>,
}

#[OpenApi(tag = "Tag::Leads")]
impl Leads {
    /// Capture a lead
    ///
    /// A lead that is sent with an owner is assigned to them at once.
    #[oai(path = "/v1/crm/leads", method = "post", operation_id = "captureLead")]
    async fn capture(&self, command: Command<NewLead>) -> CreateResult {
        let body = command.body;
        let details = LeadFields {
            name: body.name,
            company: body.company,
            title: body.title,
            email: body.email,
            phone: body.phone,
            country: body.country,
            address: body.address.map(Into::into),
        };
        let capture = CaptureLead { details, source: body.source, owner: body.owner };
        create(&self.runtime, &command.request, "leads", capture, |id| id.uuid()).await
    }

    /// Get a lead's current state
    ///
    /// The history of its steps is available through GraphQL. Needs the permission `crm:lead:read`.
    #[oai(path = "/v1/crm/leads/:lead", method = "get", operation_id = "getLead")]
    async fn get(&self, Authenticated(caller): Authenticated, lead: Path<Uuid>) -> ReadResult<LeadResource> {
        find_current(&self.runtime, &caller, "crm:lead:read", lead.0, |found: &Current<Lead>| {
            let state = &*found.state;
            LeadResource {
                id: lead.0,
                status: state.status,
                name: state.details.name.reveal().clone(),
                company: state.details.company.clone(),
                title: state.details.title.clone(),
                email: shown(state.details.email.as_ref()),
                phone: shown(state.details.phone.as_ref()),
                country: state.details.country.clone(),
                address: shown(state.details.address.as_ref()),
                source: state.source,
                owner: state.owner.clone(),
                reason: state.reason().map(str::to_owned),
                note: state.note().map(str::to_owned),
                conversion: state.conversion.as_ref().map(|conversion| LeadConversion {
                    account: conversion.account.uuid(),
                    contact: conversion.contact.uuid(),
                    opportunity: conversion.opportunity.map(OpportunityId::uuid),
                }),
                captured_at: found.created_at,
                changed_at: found.changed_at,
            }
        })
        .await
    }

    /// Replace a lead's details
    ///
    /// Omitted fields are cleared. Needs the permission `crm:lead:write`.
    #[oai(path = "/v1/crm/leads/:lead/change-details", method = "post", operation_id = "changeLeadDetails")]
    async fn change_details(&self, command: Command<NewLeadDetails>, lead: Path<Uuid>) -> ChangeResult {
        let body = command.body;
        let details = LeadFields {
            name: body.name,
            company: body.company,
            title: body.title,
            email: body.email,
            phone: body.phone,
            country: body.country,
            address: body.address.map(Into::into),
        };
        let change_details = ChangeLeadDetails { lead: id(&lead), details };
        change(&self.runtime, &command.request, lead.0, change_details).await
    }

    /// Assign a lead to a user
    ///
    /// If the lead's status does not allow this step, the answer is 409 `lead_step_not_allowed` and lists the steps that are
    /// allowed. Needs the permission `crm:lead:write`.
    #[oai(path = "/v1/crm/leads/:lead/assign", method = "post", operation_id = "assignLead")]
    async fn assign(&self, command: Command<Assignment>, lead: Path<Uuid>) -> ChangeResult {
        let assign = AssignLead { lead: id(&lead), owner: command.body.owner };
        change(&self.runtime, &command.request, lead.0, assign).await
    }

    /// Start work on a lead
    ///
    /// If the lead's status does not allow this step, the answer is 409 `lead_step_not_allowed` and lists the steps that are
    /// allowed. Needs the permission `crm:lead:write`.
    #[oai(path = "/v1/crm/leads/:lead/start-work", method = "post", operation_id = "startLeadWork")]
    async fn start_work(&self, command: Command<Empty>, lead: Path<Uuid>) -> ChangeResult {
        change(&self.runtime, &command.request, lead.0, StartLeadWork { lead: id(&lead) }).await
    }

    /// Qualify a lead
    ///
    /// If the lead's status does not allow this step, the answer is 409 `lead_step_not_allowed` and lists the steps that are
    /// allowed. Needs the permission `crm:lead:write`.
    #[oai(path = "/v1/crm/leads/:lead/qualify", method = "post", operation_id = "qualifyLead")]
    async fn qualify(&self, command: Command<Qualification>, lead: Path<Uuid>) -> ChangeResult {
        let qualify = QualifyLead { lead: id(&lead), note: command.body.note };
        change(&self.runtime, &command.request, lead.0, qualify).await
    }

    /// Recycle a lead for a later attempt
    ///
    /// If the lead's status does not allow this step, the answer is 409 `lead_step_not_allowed` and lists the steps that are
    /// allowed. Needs the permission `crm:lead:write`.
    #[oai(path = "/v1/crm/leads/:lead/recycle", method = "post", operation_id = "recycleLead")]
    async fn recycle(&self, command: Command<Recycling>, lead: Path<Uuid>) -> ChangeResult {
        let recycle = RecycleLead { lead: id(&lead), reason: command.body.reason };
        change(&self.runtime, &command.request, lead.0, recycle).await
    }

    /// Disqualify a lead
    ///
    /// If the lead's status does not allow this step, the answer is 409 `lead_step_not_allowed` and lists the steps that are
    /// allowed. Needs the permission `crm:lead:write`.
    #[oai(path = "/v1/crm/leads/:lead/disqualify", method = "post", operation_id = "disqualifyLead")]
    async fn disqualify(&self, command: Command<Disqualification>, lead: Path<Uuid>) -> ChangeResult {
        let Disqualification { reason, note } = command.body;
        let disqualify = DisqualifyLead { lead: id(&lead), reason, note };
        change(&self.runtime, &command.request, lead.0, disqualify).await
    }
}
