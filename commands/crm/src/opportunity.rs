//! The commands of opportunities.

use chrono::NaiveDate;
use crm_aggregates::{
    AccountId, Contact, ContactError, ContactId, LineItem, Opportunity, OpportunityCommand, OpportunityId,
    OpportunityOpened, PipelineId, StageId,
};
use executor::{Command, Work};
use kernel::{Checks, Refusal};

use crate::owner;
use crate::references::{existing, existing_account};
use crate::stage::enter;
use crate::{MoneyFields, money, values};

/// Opens an opportunity.
#[derive(Clone, Debug)]
pub struct OpenOpportunity {
    pub name: String,
    pub account: Option<AccountId>,
    pub contact: Option<ContactId>,
    pub pipeline: PipelineId,
    /// The stage; `None`: the first stage that is not retired.
    pub stage: Option<StageId>,
    /// The amount; with line items, it must be their sum.
    pub amount: MoneyFields,
    pub close_date: NaiveDate,
    /// The user responsible.
    pub owner: Option<String>,
    pub line_items: Vec<LineItem>,
}

/// Renames an opportunity.
#[derive(Clone, Debug)]
pub struct RenameOpportunity {
    pub opportunity: OpportunityId,
    pub name: String,
}

/// Moves an opportunity to another stage of its pipeline.
#[derive(Clone, Debug)]
pub struct MoveOpportunity {
    pub opportunity: OpportunityId,
    pub stage: StageId,
}

/// Replaces the amount and all line items. With line items, the amount must be their sum.
#[derive(Clone, Debug)]
pub struct ChangeOpportunityAmount {
    pub opportunity: OpportunityId,
    pub amount: MoneyFields,
    pub line_items: Vec<LineItem>,
}

/// Changes the expected close date.
#[derive(Clone, Debug)]
pub struct ChangeOpportunityCloseDate {
    pub opportunity: OpportunityId,
    pub close_date: NaiveDate,
}

/// Reassigns an opportunity to another user.
#[derive(Clone, Debug)]
pub struct ReassignOpportunity {
    pub opportunity: OpportunityId,
    pub owner: String,
}

/// Changes or removes the account.
#[derive(Clone, Debug)]
pub struct ChangeOpportunityAccount {
    pub opportunity: OpportunityId,
    pub account: Option<AccountId>,
}

/// Changes or removes the contact.
#[derive(Clone, Debug)]
pub struct ChangeOpportunityContact {
    pub opportunity: OpportunityId,
    pub contact: Option<ContactId>,
}

/// Closes an opportunity as won.
#[derive(Clone, Debug)]
pub struct WinOpportunity {
    pub opportunity: OpportunityId,
}

/// Closes an opportunity as lost.
#[derive(Clone, Debug)]
pub struct LoseOpportunity {
    pub opportunity: OpportunityId,
    pub reason: String,
}

/// Reopens a closed opportunity.
#[derive(Clone, Debug)]
pub struct ReopenOpportunity {
    pub opportunity: OpportunityId,
    /// The stage; `None`: the stage in which it was closed.
    pub stage: Option<StageId>,
}

/// Refuses a contact that does not exist or was erased.
async fn check_contact(work: &mut Work<'_>, contact: Option<ContactId>) -> Result<(), Refusal> {
    if let Some(contact) = contact
        && existing::<Contact>(work, contact, "/contact").await?.erased
    {
        return Err(ContactError::Erased.into());
    }
    Ok(())
}

impl Command for OpenOpportunity {
    const PERMISSION: &'static str = "crm:opportunity:write";
    type Answer = OpportunityId;

    async fn run(&self, work: &mut Work<'_>) -> Result<OpportunityId, Refusal> {
        let mut checks = Checks::default();
        let name = checks.line("/name", &self.name, values::NAME);
        let amount = self.amount.check(&mut checks, "/amount");
        let line_items = money::line_items(&mut checks, "/line_items", &self.line_items);
        let close_date = values::day(&mut checks, "/close_date", self.close_date);
        let owner = self.owner.as_deref().map(|text| owner::form(&mut checks, text));
        checks.finish()?;
        existing_account(work, self.account).await?;
        check_contact(work, self.contact).await?;
        owner::check(work, owner.as_deref()).await?;
        let opportunity: OpportunityId = work.new_id();
        let stage = enter(work, "", self.pipeline, self.stage, opportunity).await?;
        let opened = OpportunityOpened {
            name,
            account: self.account,
            contact: self.contact,
            pipeline: self.pipeline,
            stage,
            amount,
            close_date,
            owner,
            line_items,
            lead: None,
        };
        work.create::<Opportunity>(opportunity, OpportunityCommand::Open(opened))?;
        Ok(opportunity)
    }
}

impl Command for RenameOpportunity {
    const PERMISSION: &'static str = "crm:opportunity:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let mut checks = Checks::default();
        let name = checks.line("/name", &self.name, values::NAME);
        checks.finish()?;
        work.update::<Opportunity>(self.opportunity, OpportunityCommand::Rename { name }).await
    }
}

impl Command for MoveOpportunity {
    const PERMISSION: &'static str = "crm:opportunity:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let before = work.read::<Opportunity>(self.opportunity).await?;
        work.update::<Opportunity>(self.opportunity, OpportunityCommand::Move { to: self.stage }).await?;
        if before.stage != self.stage {
            enter(work, "", before.pipeline, Some(self.stage), self.opportunity).await?;
        }
        Ok(())
    }
}

impl Command for ChangeOpportunityAmount {
    const PERMISSION: &'static str = "crm:opportunity:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let mut checks = Checks::default();
        let amount = self.amount.check(&mut checks, "/amount");
        let line_items = money::line_items(&mut checks, "/line_items", &self.line_items);
        checks.finish()?;
        let command = OpportunityCommand::ChangeAmount { amount, line_items };
        work.update::<Opportunity>(self.opportunity, command).await
    }
}

impl Command for ChangeOpportunityCloseDate {
    const PERMISSION: &'static str = "crm:opportunity:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let mut checks = Checks::default();
        let close_date = values::day(&mut checks, "/close_date", self.close_date);
        checks.finish()?;
        work.update::<Opportunity>(self.opportunity, OpportunityCommand::ChangeCloseDate { close_date }).await
    }
}

impl Command for ReassignOpportunity {
    const PERMISSION: &'static str = "crm:opportunity:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        owner::reassign::<Opportunity>(
            work,
            self.opportunity,
            &self.owner,
            |deal| deal.owner.as_deref(),
            |owner| OpportunityCommand::Reassign { owner },
        )
        .await
    }
}

impl Command for ChangeOpportunityAccount {
    const PERMISSION: &'static str = "crm:opportunity:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let command = OpportunityCommand::ChangeAccount { account: self.account };
        work.update::<Opportunity>(self.opportunity, command).await?;
        existing_account(work, self.account).await
    }
}

impl Command for ChangeOpportunityContact {
    const PERMISSION: &'static str = "crm:opportunity:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let command = OpportunityCommand::ChangeContact { contact: self.contact };
        work.update::<Opportunity>(self.opportunity, command).await?;
        check_contact(work, self.contact).await
    }
}

impl Command for WinOpportunity {
    const PERMISSION: &'static str = "crm:opportunity:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        work.update::<Opportunity>(self.opportunity, OpportunityCommand::Win).await
    }
}

impl Command for LoseOpportunity {
    const PERMISSION: &'static str = "crm:opportunity:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let mut checks = Checks::default();
        let reason = checks.paragraph("/reason", &self.reason, values::REASON);
        checks.finish()?;
        work.update::<Opportunity>(self.opportunity, OpportunityCommand::Lose { reason }).await
    }
}

impl Command for ReopenOpportunity {
    const PERMISSION: &'static str = "crm:opportunity:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let before = work.read::<Opportunity>(self.opportunity).await?;
        let stage = self.stage.unwrap_or(before.stage);
        work.update::<Opportunity>(self.opportunity, OpportunityCommand::Reopen { stage }).await?;
        enter(work, "", before.pipeline, Some(stage), self.opportunity).await?;
        Ok(())
    }
}
