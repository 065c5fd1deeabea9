//! Opportunities: open, rename, move, change, put right with whom, win, lose, reopen.

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
use super::form;
use super::lead::Assignment;
use super::money::MoneyBody;
use face::operation::{Done, Found, Made, change, create, find_current, id};

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
    /// What it is about.
    #[schemars(with = "form::Name")]
    name: String,
    /// Who buys.
    #[serde(default)]
    account: Option<AccountId>,
    /// Whom we talk to.
    #[serde(default)]
    contact: Option<ContactId>,
    /// The pipeline, for good.
    pipeline: PipelineId,
    /// The stage; none: the first that is not retired.
    #[serde(default)]
    stage: Option<StageId>,
    /// At least 0; with line items, their sum.
    amount: MoneyBody,
    /// Expected day of closing.
    #[serde(deserialize_with = "kernel::deserialize_day")]
    close_date: NaiveDate,
    /// The user responsible, by the subject of their token.
    #[serde(default)]
    #[schemars(with = "Option<form::Subject>")]
    owner: Option<String>,
    /// What the amount is made of.
    #[serde(default)]
    #[schemars(length(max = LINE_ITEMS))]
    line_items: Vec<LineItemBody>,
}

/// A line of what is sold.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NewLineItem")]
struct LineItemBody {
    /// What it is.
    #[schemars(with = "form::Name")]
    name: String,
    /// How many, at least 1.
    quantity: form::Number<1>,
    /// Price of one, in minor units of the opportunity's currency, at least 0.
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

/// Another name.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"name": "UNIVAC, second delivery"}))]
pub(super) struct NewName {
    /// The name.
    #[schemars(with = "form::Name")]
    pub name: String,
}

/// Where to.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"stage": "0197a8a0-0000-7000-8000-000000000001"}))]
struct NewStage {
    /// A stage of its pipeline.
    stage: StageId,
}

/// Another amount.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"amount": {"minor": 12_500_000, "currency": "EUR"}}))]
struct NewAmount {
    /// At least 0; with line items, their sum.
    amount: MoneyBody,
    /// What the amount is made of: all of it.
    #[serde(default)]
    #[schemars(length(max = LINE_ITEMS))]
    line_items: Vec<LineItemBody>,
}

/// Another day.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"close_date": "2027-03-31"}))]
struct NewCloseDate {
    /// Expected day of closing.
    #[serde(deserialize_with = "kernel::deserialize_day")]
    close_date: NaiveDate,
}

/// Who buys.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"account": "0197a8a0-0000-7000-8000-000000000001"}))]
struct NewOpportunityAccount {
    /// The account; null: none.
    #[serde(deserialize_with = "face::nullable")]
    #[schemars(with = "face::Nullable<AccountId>")]
    account: Option<AccountId>,
}

/// Whom we talk to.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"contact": "0197a8a0-0000-7000-8000-000000000001"}))]
struct NewOpportunityContact {
    /// The contact; null: nobody yet.
    #[serde(deserialize_with = "face::nullable")]
    #[schemars(with = "face::Nullable<ContactId>")]
    contact: Option<ContactId>,
}

/// Why it was lost.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"reason": "too dear"}))]
struct Loss {
    /// The reason.
    #[schemars(with = "form::Reason")]
    reason: String,
}

/// Where it goes on.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"stage": "0197a8a0-0000-7000-8000-000000000001"}))]
struct Reopening {
    /// The stage; none: the one in which it was closed.
    #[serde(default)]
    stage: Option<StageId>,
}

/// An opportunity.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Opportunity")]
struct OpportunityResource {
    /// Its id.
    id: Uuid,
    /// Where it stands.
    status: OpportunityStatus,
    /// What it is about.
    name: String,
    /// Who buys.
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<Uuid>,
    /// Whom we talk to.
    #[serde(skip_serializing_if = "Option::is_none")]
    contact: Option<Uuid>,
    /// The pipeline.
    pipeline: Uuid,
    /// The stage; of a closed one, the last.
    stage: Uuid,
    /// The amount.
    amount: Money,
    /// What the amount is made of.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    line_items: Vec<LineItem>,
    /// Expected day of closing.
    close_date: NaiveDate,
    /// The user responsible.
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    /// Why it was lost, as long as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    lost_reason: Option<String>,
    /// When anything last happened to it.
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
    async fn open(&self, command: Command<OpportunityBody>) -> Made {
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

    /// An opportunity as it is now
    ///
    /// When it took which step, GraphQL says. Needs the permission `crm:opportunity:read`.
    #[oai(path = "/v1/crm/opportunities/:opportunity", method = "get", operation_id = "getOpportunity")]
    async fn get(&self, Authenticated(caller): Authenticated, opportunity: Path<Uuid>) -> Found<OpportunityResource> {
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
                changed_at: found.changed_at,
            }
        })
        .await
    }

    /// Rename an opportunity
    ///
    /// Needs the permission `crm:opportunity:write`.
    #[oai(path = "/v1/crm/opportunities/:opportunity/rename", method = "post", operation_id = "renameOpportunity")]
    async fn rename(&self, command: Command<NewName>, opportunity: Path<Uuid>) -> Done {
        let rename = RenameOpportunity { opportunity: id(&opportunity), name: command.body.name };
        change(&self.runtime, &command.request, opportunity.0, rename).await
    }

    /// Move an opportunity to another stage of its pipeline
    ///
    /// Where its state does not allow it, 409 `opportunity_step_not_allowed` says what it does allow. Needs the permission
    /// `crm:opportunity:write`.
    #[oai(path = "/v1/crm/opportunities/:opportunity/move-stage", method = "post", operation_id = "moveOpportunity")]
    async fn move_stage(&self, command: Command<NewStage>, opportunity: Path<Uuid>) -> Done {
        let to = MoveOpportunity { opportunity: id(&opportunity), stage: command.body.stage };
        change(&self.runtime, &command.request, opportunity.0, to).await
    }

    /// Change an opportunity's amount
    ///
    /// Where its state does not allow it, 409 `opportunity_step_not_allowed` says what it does allow. Needs the permission
    /// `crm:opportunity:write`.
    #[oai(
        path = "/v1/crm/opportunities/:opportunity/change-amount",
        method = "post",
        operation_id = "changeOpportunityAmount"
    )]
    async fn change_amount(&self, command: Command<NewAmount>, opportunity: Path<Uuid>) -> Done {
        let NewAmount { amount, line_items: items } = command.body;
        let amount = ChangeOpportunityAmount {
            opportunity: id(&opportunity),
            amount: amount.into(),
            line_items: line_items(items),
        };
        change(&self.runtime, &command.request, opportunity.0, amount).await
    }

    /// Expect an opportunity to close on another day
    ///
    /// Where its state does not allow it, 409 `opportunity_step_not_allowed` says what it does allow. Needs the permission
    /// `crm:opportunity:write`.
    #[oai(
        path = "/v1/crm/opportunities/:opportunity/change-close-date",
        method = "post",
        operation_id = "changeOpportunityCloseDate"
    )]
    async fn change_close_date(&self, command: Command<NewCloseDate>, opportunity: Path<Uuid>) -> Done {
        let day = ChangeOpportunityCloseDate { opportunity: id(&opportunity), close_date: command.body.close_date };
        change(&self.runtime, &command.request, opportunity.0, day).await
    }

    /// Make another user responsible for an opportunity
    ///
    /// Needs the permission `crm:opportunity:write`.
    #[oai(path = "/v1/crm/opportunities/:opportunity/reassign", method = "post", operation_id = "reassignOpportunity")]
    async fn reassign(&self, command: Command<Assignment>, opportunity: Path<Uuid>) -> Done {
        let reassign = ReassignOpportunity { opportunity: id(&opportunity), owner: command.body.owner };
        change(&self.runtime, &command.request, opportunity.0, reassign).await
    }

    /// Have an opportunity with another account, or with none
    ///
    /// Also when it is closed: it may have been booked on the wrong one. Its contact stays. Needs the permission
    /// `crm:opportunity:write`.
    #[oai(
        path = "/v1/crm/opportunities/:opportunity/change-account",
        method = "post",
        operation_id = "changeOpportunityAccount"
    )]
    async fn change_account(&self, command: Command<NewOpportunityAccount>, opportunity: Path<Uuid>) -> Done {
        let account = ChangeOpportunityAccount { opportunity: id(&opportunity), account: command.body.account };
        change(&self.runtime, &command.request, opportunity.0, account).await
    }

    /// Talk to another contact about an opportunity, or to none
    ///
    /// One of whom nothing is kept is refused (`contact_erased`). Needs the permission `crm:opportunity:write`.
    #[oai(
        path = "/v1/crm/opportunities/:opportunity/change-contact",
        method = "post",
        operation_id = "changeOpportunityContact"
    )]
    async fn change_contact(&self, command: Command<NewOpportunityContact>, opportunity: Path<Uuid>) -> Done {
        let contact = ChangeOpportunityContact { opportunity: id(&opportunity), contact: command.body.contact };
        change(&self.runtime, &command.request, opportunity.0, contact).await
    }

    /// Win an opportunity: the customer signed
    ///
    /// Where its state does not allow it, 409 `opportunity_step_not_allowed` says what it does allow. Needs the permission
    /// `crm:opportunity:write`.
    #[oai(path = "/v1/crm/opportunities/:opportunity/win", method = "post", operation_id = "winOpportunity")]
    async fn win(&self, command: Command<Empty>, opportunity: Path<Uuid>) -> Done {
        let win = WinOpportunity { opportunity: id(&opportunity) };
        change(&self.runtime, &command.request, opportunity.0, win).await
    }

    /// Lose an opportunity: the customer will not sign
    ///
    /// Where its state does not allow it, 409 `opportunity_step_not_allowed` says what it does allow. Needs the permission
    /// `crm:opportunity:write`.
    #[oai(path = "/v1/crm/opportunities/:opportunity/lose", method = "post", operation_id = "loseOpportunity")]
    async fn lose(&self, command: Command<Loss>, opportunity: Path<Uuid>) -> Done {
        let lose = LoseOpportunity { opportunity: id(&opportunity), reason: command.body.reason };
        change(&self.runtime, &command.request, opportunity.0, lose).await
    }

    /// Open a closed opportunity again
    ///
    /// Where its state does not allow it, 409 `opportunity_step_not_allowed` says what it does allow. Needs the permission
    /// `crm:opportunity:write`.
    #[oai(path = "/v1/crm/opportunities/:opportunity/reopen", method = "post", operation_id = "reopenOpportunity")]
    async fn reopen(&self, command: Command<Reopening>, opportunity: Path<Uuid>) -> Done {
        let reopen = ReopenOpportunity { opportunity: id(&opportunity), stage: command.body.stage };
        change(&self.runtime, &command.request, opportunity.0, reopen).await
    }
}
