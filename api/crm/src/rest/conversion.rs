//! Conversion: a lead becomes an account, a contact and an opportunity, together and once.

use chrono::NaiveDate;
use crm_aggregates::{AccountId, ContactId, OpportunityId, PipelineId, StageId};
use crm_commands::{ConvertLead, NewOpportunity};
use face::{Changed, Command, Example, Runtime, example};
use poem_openapi::OpenApi;
use poem_openapi::param::Path;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Tag;
use super::form;
use super::money::MoneyBody;
use crate::SERVICE;
use face::operation::{ChangeResult, id};

/// The conversion of leads.
pub struct Conversions {
    runtime: Runtime,
}

impl Conversions {
    pub fn new(runtime: Runtime) -> Self {
        Self { runtime }
    }
}

/// How to convert a lead.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NewConversion")]
#[schemars(example = serde_json::json!({"opportunity": {"name": "UNIVAC", "pipeline": "0197a8a0-0000-7000-8000-000000000001", "amount": {"minor": 12_500_000, "currency": "EUR"}, "close_date": "2027-03-31"}}))]
struct ConversionBody {
    /// An existing account. If omitted, a new account is created.
    #[serde(default)]
    account: Option<AccountId>,
    /// Name of the new account. Default: the lead's company. Required if the lead has no company and `account` is omitted; not
    /// allowed together with `account`.
    #[serde(default)]
    #[schemars(with = "Option<form::Name>")]
    account_name: Option<String>,
    /// An existing contact. If omitted, a new contact is created from the lead's details. A contact that has no account is
    /// moved to this account; a contact that has an account keeps it.
    #[serde(default)]
    contact: Option<ContactId>,
    /// The opportunity to open, if any.
    #[serde(default)]
    opportunity: Option<DealBody>,
    /// Convert the lead even if another contact has its e-mail address.
    #[serde(default)]
    allow_duplicate: bool,
}

/// The opportunity that a conversion opens.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NewConversionOpportunity")]
struct DealBody {
    /// Its name.
    #[schemars(with = "form::Name")]
    name: String,
    /// The pipeline. It cannot be changed later.
    pipeline: PipelineId,
    /// The stage. If omitted, the first stage of the pipeline that is not retired.
    #[serde(default)]
    stage: Option<StageId>,
    /// The amount, at least 0.
    amount: MoneyBody,
    /// Expected close date, from 1970-01-01 to 2199-12-31.
    #[serde(deserialize_with = "kernel::deserialize_day")]
    close_date: NaiveDate,
}

/// The result of a conversion.
#[derive(Debug, Serialize, JsonSchema)]
struct Converted {
    /// The lead.
    id: Uuid,
    /// The account.
    account: Uuid,
    /// The contact.
    contact: Uuid,
    /// The opportunity, if one was opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    opportunity: Option<Uuid>,
}

impl Example for Converted {
    fn example() -> Self {
        Self { id: example::id(1), account: example::id(2), contact: example::id(3), opportunity: Some(example::id(4)) }
    }
}

#[OpenApi(tag = "Tag::Leads")]
impl Conversions {
    /// Convert a qualified lead
    ///
    /// Creates the account, contact and opportunity together, in one transaction. A lead is converted only once: if it was
    /// converted before, the answer shows the result of that conversion.
    #[oai(path = "/v1/crm/leads/:lead/convert", method = "post", operation_id = "convertLead")]
    async fn convert(&self, command: Command<ConversionBody>, lead: Path<Uuid>) -> ChangeResult<Converted> {
        let body = command.body;
        let convert = ConvertLead {
            lead: id(&lead),
            account: body.account,
            account_name: body.account_name,
            contact: body.contact,
            opportunity: body.opportunity.map(|deal| NewOpportunity {
                name: deal.name,
                pipeline: deal.pipeline,
                stage: deal.stage,
                amount: deal.amount.into(),
                close_date: deal.close_date,
            }),
            allow_duplicate: body.allow_duplicate,
        };
        let done = self.runtime.executor.execute(&command.request, &convert).await?;
        Ok(Changed::new(SERVICE, done, |conversion| Converted {
            id: lead.0,
            account: conversion.account.uuid(),
            contact: conversion.contact.uuid(),
            opportunity: conversion.opportunity.map(OpportunityId::uuid),
        }))
    }
}
