//! The commands of accounts.

use crm_aggregates::{Account, AccountCommand, AccountCreated, AccountDetails, AccountId};
use executor::{Command, Work};
use kernel::{Checks, Refusal};

use crate::owner;
use crate::values;

/// The details of an account as sent; validated when the command runs.
#[derive(Clone, Debug, Default)]
pub struct AccountFields {
    pub name: String,
    /// `https://…` or `http://…`.
    pub website: Option<String>,
    pub industry: Option<String>,
    /// ISO 3166-1 alpha-2.
    pub country: Option<String>,
    pub employees: Option<u32>,
}

impl AccountFields {
    fn check(&self, checks: &mut Checks) -> AccountDetails {
        AccountDetails {
            name: checks.line("/name", &self.name, values::NAME),
            website: self.website.as_deref().map(|text| values::website(checks, "/website", text)),
            industry: self.industry.as_deref().map(|text| checks.line("/industry", text, values::NAME)),
            country: self.country.as_deref().map(|text| checks.country("/country", text)),
            employees: self.employees,
        }
    }
}

/// Creates an account.
#[derive(Clone, Debug, Default)]
pub struct CreateAccount {
    pub details: AccountFields,
    /// The user responsible.
    pub owner: Option<String>,
}

/// Replaces all details of an account.
#[derive(Clone, Debug)]
pub struct ChangeAccountDetails {
    pub account: AccountId,
    pub details: AccountFields,
}

/// Makes another user responsible for an account.
#[derive(Clone, Debug)]
pub struct ReassignAccount {
    pub account: AccountId,
    pub owner: String,
}

impl Command for CreateAccount {
    const PERMISSION: &'static str = "crm:account:write";
    type Answer = AccountId;

    async fn run(&self, work: &mut Work<'_>) -> Result<AccountId, Refusal> {
        let mut checks = Checks::default();
        let details = self.details.check(&mut checks);
        let owner = self.owner.as_deref().map(|text| owner::form(&mut checks, text));
        checks.finish()?;
        owner::check(work, owner.as_deref()).await?;
        let account: AccountId = work.new_id();
        work.create::<Account>(account, AccountCommand::Create(AccountCreated { details, owner, lead: None }))?;
        Ok(account)
    }
}

impl Command for ChangeAccountDetails {
    const PERMISSION: &'static str = "crm:account:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let mut checks = Checks::default();
        let details = self.details.check(&mut checks);
        checks.finish()?;
        work.update::<Account>(self.account, AccountCommand::ChangeDetails { details }).await
    }
}

impl Command for ReassignAccount {
    const PERMISSION: &'static str = "crm:account:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        owner::reassign::<Account>(
            work,
            self.account,
            &self.owner,
            |account| account.owner.as_deref(),
            |owner| AccountCommand::Reassign { owner },
        )
        .await
    }
}
