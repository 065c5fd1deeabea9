//! Opportunities: open, rename, move, change, reassign, correct the account or contact, win, lose, reopen.

use chrono::{DateTime, NaiveDate, Utc};
use crm_aggregates::{AccountId, ContactId, LineItem, Opportunity, OpportunityStatus, PipelineId, StageId};
use crm_commands::lengths::LINE_ITEMS;
use crm_commands::{
    ChangeOpportunityAccount, ChangeOpportunityAmount, ChangeOpportunityCloseDate, ChangeOpportunityContact,
    LoseOpportunity, MoveOpportunity, OpenOpportunity, ReassignOpportunity, RenameOpportunity, ReopenOpportunity,
    WinOpportunity,
};
use executor::Current;
use face::{Authenticated, Command, Empty, Example, Runtime, example};
use kernel::{Currency, Money};
use poem_openapi::OpenApi;
use poem_openapi::param::Path;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Tag;
use super::assignment::Assignment;
use super::form;
use super::money::MoneyBody;
use face::operation::{ChangeResult, CreateResult, ReadResult, change, create, find_current, id};

/// The operations on opportunities.
pub struct Opportunities {
    runtime: Runtime,
}

impl Opportunities {
    pub fn new(runtime: Runtime) -> Self {
        Self { runtime }
    }
}

/// A new opportunity.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NewOpportunity")]
#[schemars(example = serde_json::json!({"name": "UNIVAC", "pipeline": "0197a8a0-0000-7000-8000-000000000001", "amount": {"minor": 12_500_000, "currency": "EUR"}, "close_date": "2027-03-31"}))]
struct OpportunityBody {
    /// Its name.
    #[schemars(with = "form::Name")]
    name: String,
    /// The account that buys.
    #[serde(default)]
    account: Option<AccountId>,
    /// The contact person.
    #[serde(default)]
    contact: Option<ContactId>,
    /// The pipeline. It cannot be changed later.
    pipeline: PipelineId,
    /// The stage. If omitted, the first stage of the pipeline that is not retired.
    #[serde(default)]
    stage: Option<StageId>,
    /// The amount, at least 0. If there are line items, it must be their sum.
    amount: MoneyBody,
    /// Expected close date, from 1970-01-01 to 2199-12-31.
    #[serde(deserialize_with = "kernel::deserialize_day")]
    close_date: NaiveDate,
    /// The responsible user, as the subject of their token. An id of nobody who can sign in now is refused (`cannot_sign_in`).
    #[serde(default)]
    #[schemars(with = "Option<form::Subject>")]
    owner: Option<String>,
    /// The line items that make up the amount.
    #[serde(default)]
    #[schemars(length(max = LINE_ITEMS))]
    line_items: Vec<LineItemBody>,
}

/// A line item: something that is sold.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NewLineItem")]
struct LineItemBody {
    /// The name of the product or service.
    #[schemars(with = "form::Name")]
    name: String,
    /// Quantity, at least 1.
    quantity: form::Number<1>,
    /// Unit price in minor units of the opportunity's currency, at least 0.
    #[schemars(with = "form::Minor")]
    unit_price_minor: i64,
}

fn line_items(bodies: Vec<LineItemBody>) -> Vec<LineItem> {
    bodies
        .into_iter()
        .map(|LineItemBody { name, quantity, unit_price_minor }| LineItem {
            name,
            quantity: quantity.0,
            unit_price_minor,
        })
        .collect()
}

/// A new name.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"name": "UNIVAC, second delivery"}))]
pub(super) struct NewName {
    /// The name.
    #[schemars(with = "form::Name")]
    pub name: String,
}

/// A new stage.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"stage": "0197a8a0-0000-7000-8000-000000000001"}))]
struct NewStage {
    /// A stage of the opportunity's pipeline.
    stage: StageId,
}

/// A new amount.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"amount": {"minor": 12_500_000, "currency": "EUR"}}))]
struct NewAmount {
    /// The amount, at least 0. If there are line items, it must be their sum.
    amount: MoneyBody,
    /// All line items that make up the amount. They replace the current ones.
    #[serde(default)]
    #[schemars(length(max = LINE_ITEMS))]
    line_items: Vec<LineItemBody>,
}

/// A new expected close date.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"close_date": "2027-03-31"}))]
struct NewCloseDate {
    /// Expected close date, from 1970-01-01 to 2199-12-31.
    #[serde(deserialize_with = "kernel::deserialize_day")]
    close_date: NaiveDate,
}

/// The account that buys.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"account": "0197a8a0-0000-7000-8000-000000000001"}))]
struct NewOpportunityAccount {
    /// The account, or null for none.
    #[serde(deserialize_with = "face::nullable")]
    #[schemars(with = "face::Nullable<AccountId>")]
    account: Option<AccountId>,
}

/// The contact person.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"contact": "0197a8a0-0000-7000-8000-000000000001"}))]
struct NewOpportunityContact {
    /// The contact, or null for none.
    #[serde(deserialize_with = "face::nullable")]
    #[schemars(with = "face::Nullable<ContactId>")]
    contact: Option<ContactId>,
}

/// Why an opportunity was lost.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"reason": "too dear"}))]
struct Loss {
    /// The reason.
    #[schemars(with = "form::Reason")]
    reason: String,
}

/// The stage in which an opportunity is reopened.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"stage": "0197a8a0-0000-7000-8000-000000000001"}))]
struct Reopening {
    /// The stage. If omitted, the stage in which it was closed.
    #[serde(default)]
    stage: Option<StageId>,
}

/// An opportunity.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Opportunity")]
struct OpportunityResource {
    /// Its id.
    id: Uuid,
    /// Its status.
    status: OpportunityStatus,
    /// Its name.
    name: String,
    /// The account that buys.
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<Uuid>,
    /// The contact person.
    #[serde(skip_serializing_if = "Option::is_none")]
    contact: Option<Uuid>,
    /// The pipeline.
    pipeline: Uuid,
    /// The current stage or, if the opportunity is closed, its last stage.
    stage: Uuid,
    /// The amount.
    amount: Money,
    /// The line items that make up the amount.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    line_items: Vec<LineItem>,
    /// Expected close date.
    close_date: NaiveDate,
    /// The responsible user, as the subject of their token.
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    /// Why it was lost. Present only while its status is lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    lost_reason: Option<String>,
    /// When it was opened.
    opened_at: DateTime<Utc>,
    /// When it last changed.
    changed_at: DateTime<Utc>,
}

impl Example for OpportunityResource {
    fn example() -> Self {
        let line_item = LineItem { name: "UNIVAC".to_owned(), quantity: 1, unit_price_minor: 12_500_000 };
        Self {
            id: example::id(4),
            status: OpportunityStatus::Open,
            name: "UNIVAC for the census".to_owned(),
            account: Some(example::id(2)),
            contact: Some(example::id(3)),
            pipeline: example::id(5),
            stage: example::id(6),
            amount: Money { minor: 12_500_000, currency: Currency::EUR },
            line_items: vec![line_item],
            close_date: example::day(330),
            owner: Some("ada".to_owned()),
            lost_reason: None,
            opened_at: example::time(1),
            changed_at: example::time(5),
        }
    }
}

#[OpenApi(tag = "Tag::Opportunities")]
impl Opportunities {
    /// Open an opportunity
    ///
    /// Needs the permission `crm:opportunity:write`.
    #[oai(path = "/v1/crm/opportunities", method = "post", operation_id = "openOpportunity")]
    async fn open(&self, command: Command<OpportunityBody>) -> CreateResult {
        let body = command.body;
        let open = OpenOpportunity {
            name: body.name,
            account: body.account,
            contact: body.contact,
            pipeline: body.pipeline,
            stage: body.stage,
            amount: body.amount.into(),
            close_date: body.close_date,
            owner: body.owner,
            line_items: line_items(body.line_items),
        };
        create(&self.runtime, &command.request, "opportunities", open, |id| id.uuid()).await
    }

    /// Get an opportunity's current state
    ///
    /// The history of its steps is available through GraphQL. Needs the permission `crm:opportunity:read`.
    #[oai(path = "/v1/crm/opportunities/:opportunity", method = "get", operation_id = "getOpportunity")]
    async fn get(
        &self,
        Authenticated(caller): Authenticated,
        opportunity: Path<Uuid>,
    ) -> ReadResult<OpportunityResource> {
        find_current(&self.runtime, &caller, "crm:opportunity:read", opportunity.0, |found: &Current<Opportunity>| {
            let state = &*found.state;
            OpportunityResource {
                id: opportunity.0,
                status: state.status,
                name: state.name.clone(),
                account: state.account.map(AccountId::uuid),
                contact: state.contact.map(ContactId::uuid),
                pipeline: state.pipeline.uuid(),
                stage: state.stage.uuid(),
                amount: state.amount,
                line_items: state.line_items.clone(),
                close_date: state.close_date,
                owner: state.owner.clone(),
                lost_reason: state.lost_reason.clone(),
                opened_at: found.created_at,
                changed_at: found.changed_at,
            }
        })
        .await
    }

    /// Rename an opportunity
    ///
    /// Needs the permission `crm:opportunity:write`.
    #[oai(path = "/v1/crm/opportunities/:opportunity/rename", method = "post", operation_id = "renameOpportunity")]
    async fn rename(&self, command: Command<NewName>, opportunity: Path<Uuid>) -> ChangeResult {
        let rename = RenameOpportunity { opportunity: id(&opportunity), name: command.body.name };
        change(&self.runtime, &command.request, opportunity.0, rename).await
    }

    /// Move an opportunity to another stage of its pipeline
    ///
    /// If the opportunity's status does not allow this step, the answer is 409 `opportunity_step_not_allowed` and lists the
    /// steps that are allowed. Needs the permission `crm:opportunity:write`.
    #[oai(path = "/v1/crm/opportunities/:opportunity/move-stage", method = "post", operation_id = "moveOpportunity")]
    async fn move_stage(&self, command: Command<NewStage>, opportunity: Path<Uuid>) -> ChangeResult {
        let to = MoveOpportunity { opportunity: id(&opportunity), stage: command.body.stage };
        change(&self.runtime, &command.request, opportunity.0, to).await
    }

    /// Change an opportunity's amount
    ///
    /// If the opportunity's status does not allow this step, the answer is 409 `opportunity_step_not_allowed` and lists the
    /// steps that are allowed. Needs the permission `crm:opportunity:write`.
    #[oai(
        path = "/v1/crm/opportunities/:opportunity/change-amount",
        method = "post",
        operation_id = "changeOpportunityAmount"
    )]
    async fn change_amount(&self, command: Command<NewAmount>, opportunity: Path<Uuid>) -> ChangeResult {
        let NewAmount { amount, line_items: items } = command.body;
        let amount = ChangeOpportunityAmount {
            opportunity: id(&opportunity),
            amount: amount.into(),
            line_items: line_items(items),
        };
        change(&self.runtime, &command.request, opportunity.0, amount).await
    }

    /// Change an opportunity's expected close date
    ///
    /// If the opportunity's status does not allow this step, the answer is 409 `opportunity_step_not_allowed` and lists the
    /// steps that are allowed. Needs the permission `crm:opportunity:write`.
    #[oai(
        path = "/v1/crm/opportunities/:opportunity/change-close-date",
        method = "post",
        operation_id = "changeOpportunityCloseDate"
    )]
    async fn change_close_date(&self, command: Command<NewCloseDate>, opportunity: Path<Uuid>) -> ChangeResult {
        let day = ChangeOpportunityCloseDate { opportunity: id(&opportunity), close_date: command.body.close_date };
        change(&self.runtime, &command.request, opportunity.0, day).await
    }

    /// Assign an opportunity to another user
    ///
    /// Needs the permission `crm:opportunity:write`.
    #[oai(path = "/v1/crm/opportunities/:opportunity/reassign", method = "post", operation_id = "reassignOpportunity")]
    async fn reassign(&self, command: Command<Assignment>, opportunity: Path<Uuid>) -> ChangeResult {
        let reassign = ReassignOpportunity { opportunity: id(&opportunity), owner: command.body.owner };
        change(&self.runtime, &command.request, opportunity.0, reassign).await
    }

    /// Change an opportunity's account
    ///
    /// Null removes the account. This is also possible when the opportunity is closed, to correct a mistake. The opportunity's
    /// contact does not change. Needs the permission `crm:opportunity:write`.
    #[oai(
        path = "/v1/crm/opportunities/:opportunity/change-account",
        method = "post",
        operation_id = "changeOpportunityAccount"
    )]
    async fn change_account(&self, command: Command<NewOpportunityAccount>, opportunity: Path<Uuid>) -> ChangeResult {
        let account = ChangeOpportunityAccount { opportunity: id(&opportunity), account: command.body.account };
        change(&self.runtime, &command.request, opportunity.0, account).await
    }

    /// Change an opportunity's contact
    ///
    /// Null removes the contact. A contact that was erased is refused with `contact_erased`. Needs the permission
    /// `crm:opportunity:write`.
    #[oai(
        path = "/v1/crm/opportunities/:opportunity/change-contact",
        method = "post",
        operation_id = "changeOpportunityContact"
    )]
    async fn change_contact(&self, command: Command<NewOpportunityContact>, opportunity: Path<Uuid>) -> ChangeResult {
        let contact = ChangeOpportunityContact { opportunity: id(&opportunity), contact: command.body.contact };
        change(&self.runtime, &command.request, opportunity.0, contact).await
    }

    /// Close an opportunity as won
    ///
    /// If the opportunity's status does not allow this step, the answer is 409 `opportunity_step_not_allowed` and lists the
    /// steps that are allowed. Needs the permission `crm:opportunity:write`.
    #[oai(path = "/v1/crm/opportunities/:opportunity/win", method = "post", operation_id = "winOpportunity")]
    async fn win(&self, command: Command<Empty>, opportunity: Path<Uuid>) -> ChangeResult {
        let win = WinOpportunity { opportunity: id(&opportunity) };
        change(&self.runtime, &command.request, opportunity.0, win).await
    }

    /// Close an opportunity as lost
    ///
    /// If the opportunity's status does not allow this step, the answer is 409 `opportunity_step_not_allowed` and lists the
    /// steps that are allowed. Needs the permission `crm:opportunity:write`.
    #[oai(path = "/v1/crm/opportunities/:opportunity/lose", method = "post", operation_id = "loseOpportunity")]
    async fn lose(&self, command: Command<Loss>, opportunity: Path<Uuid>) -> ChangeResult {
        let lose = LoseOpportunity { opportunity: id(&opportunity), reason: command.body.reason };
        change(&self.runtime, &command.request, opportunity.0, lose).await
    }

    /// Reopen a closed opportunity
    ///
    /// If the opportunity's status does not allow this step, the answer is 409 `opportunity_step_not_allowed` and lists the
    /// steps that are allowed. Needs the permission `crm:opportunity:write`.
    #[oai(path = "/v1/crm/opportunities/:opportunity/reopen", method = "post", operation_id = "reopenOpportunity")]
    async fn reopen(&self, command: Command<Reopening>, opportunity: Path<Uuid>) -> ChangeResult {
        let reopen = ReopenOpportunity { opportunity: id(&opportunity), stage: command.body.stage };
        change(&self.runtime, &command.request, opportunity.0, reopen).await
    }
}
