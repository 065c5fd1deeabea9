//! Conversion of a lead into an account, a contact and an opportunity, atomically and only once.

use chrono::NaiveDate;
use crm_aggregates::{
    Account, AccountCommand, AccountCreated, AccountDetails, AccountId, Contact, ContactCommand, ContactCreated,
    ContactDetails, ContactId, Lead, LeadCommand, LeadConverted, LeadId, Opportunity, OpportunityCommand,
    OpportunityId, OpportunityOpened, PipelineId, StageId,
};
use executor::{Command, Work};
use kernel::{Checks, Money, Refusal};
use serde::{Deserialize, Serialize};

use crate::contact::claim_email;
use crate::references::existing;
use crate::stage::enter;
use crate::{MoneyFields, values};

/// Converts a qualified lead. For a lead that is converted already, it returns the result of that conversion.
#[derive(Clone, Debug)]
pub struct ConvertLead {
    pub lead: LeadId,
    /// An existing account; `None` creates one, named after the lead's company.
    pub account: Option<AccountId>,
    /// Name of the new account, if it differs from the lead's company. Required if the lead has no company: an account is not a person, so
    /// it never gets the lead's name by default.
    pub account_name: Option<String>,
    /// An existing contact; `None` creates one with the lead's details. An existing contact without an account gets this account; one that
    /// has an account keeps it.
    pub contact: Option<ContactId>,
    /// The opportunity to open, if there is one.
    pub opportunity: Option<NewOpportunity>,
    /// Whether the command succeeds even if another contact has the lead's e-mail address.
    pub allow_duplicate: bool,
}

/// The opportunity that a conversion opens.
#[derive(Clone, Debug)]
pub struct NewOpportunity {
    pub name: String,
    pub pipeline: PipelineId,
    /// The stage; `None`: the first stage that is not retired.
    pub stage: Option<StageId>,
    pub amount: MoneyFields,
    pub close_date: NaiveDate,
}

/// The result of a conversion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conversion {
    pub account: AccountId,
    pub contact: ContactId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opportunity: Option<OpportunityId>,
}

impl From<&LeadConverted> for Conversion {
    fn from(converted: &LeadConverted) -> Self {
        Self { account: converted.account, contact: converted.contact, opportunity: converted.opportunity }
    }
}

impl Command for ConvertLead {
    const PERMISSION: &'static str = "crm:lead:write";
    type Answer = Conversion;

    async fn run(&self, work: &mut Work<'_>) -> Result<Conversion, Refusal> {
        let lead = work.read::<Lead>(self.lead).await?;
        if let Some(converted) = &lead.conversion {
            work.matches::<Lead>(self.lead).await?;
            return Ok(converted.into());
        }
        let converted = LeadConverted {
            account: self.account.unwrap_or_else(|| work.new_id()),
            contact: self.contact.unwrap_or_else(|| work.new_id()),
            opportunity: self.opportunity.as_ref().map(|_| work.new_id()),
        };
        let conversion = Conversion::from(&converted);
        // The lead is read first: its state decides, and its version is the answer's ETag.
        work.update::<Lead>(self.lead, LeadCommand::Convert(converted)).await?;
        // All validation errors are reported together, before any lookup.
        let mut checks = Checks::default();
        let name = self.account_name(&mut checks, &lead);
        let deal = self.opportunity.as_ref().map(|opportunity| opportunity.check(&mut checks));
        checks.finish()?;
        self.account(work, &lead, conversion, name).await?;
        self.contact(work, &lead, conversion).await?;
        self.opportunity(work, &lead, conversion, deal).await?;
        Ok(conversion)
    }
}

/// The validated details of the opportunity.
struct Deal {
    name: String,
    amount: Money,
    close_date: NaiveDate,
}

impl NewOpportunity {
    fn check(&self, checks: &mut Checks) -> Deal {
        Deal {
            name: checks.line("/opportunity/name", &self.name, values::NAME),
            amount: self.amount.check(checks, "/opportunity/amount"),
            close_date: values::day(checks, "/opportunity/close_date", self.close_date),
        }
    }
}

impl ConvertLead {
    /// The name of the new account. Refused if an existing account is given, too.
    fn account_name(&self, checks: &mut Checks, lead: &Lead) -> String {
        match (self.account, &self.account_name, &lead.details.company) {
            (Some(_), Some(_), _) => {
                let detail =
                    "account_name is not allowed for an existing account; omit one of account_name and account";
                checks.refuse("/account_name", "not_allowed", detail);
                String::new()
            }
            (Some(_), None, _) => String::new(),
            (None, Some(name), _) => checks.line("/account_name", name, values::NAME),
            (None, None, Some(company)) => company.clone(),
            (None, None, None) => {
                checks.refuse(
                    "/account_name",
                    "required",
                    "the lead has no company; send account_name, the name of the new account",
                );
                String::new()
            }
        }
    }

    async fn account(&self, work: &mut Work<'_>, lead: &Lead, to: Conversion, name: String) -> Result<(), Refusal> {
        if let Some(account) = self.account {
            return existing::<Account>(work, account, "/account").await.map(drop);
        }
        let details = AccountDetails { name, country: lead.details.country.clone(), ..AccountDetails::default() };
        let created = AccountCreated { details, owner: lead.owner.clone(), lead: Some(self.lead) };
        work.create::<Account>(to.account, AccountCommand::Create(created))
    }

    async fn contact(&self, work: &mut Work<'_>, lead: &Lead, to: Conversion) -> Result<(), Refusal> {
        if let Some(contact) = self.contact {
            if existing::<Contact>(work, contact, "/contact").await?.account.is_none() {
                let account = Some(to.account);
                work.update::<Contact>(contact, ContactCommand::ChangeAccount { account }).await?;
            }
            // Lead and contact now count as the same person, also for erasure.
            return work.update::<Contact>(contact, ContactCommand::JoinLead { lead: self.lead }).await;
        }
        if let Some(email) = &lead.details.email {
            claim_email(work, email, to.contact, self.allow_duplicate);
        }
        let details = ContactDetails {
            name: lead.details.name.clone(),
            title: lead.details.title.clone(),
            email: lead.details.email.clone(),
            phone: lead.details.phone.clone(),
            address: lead.details.address.clone(),
        };
        let (account, owner) = (Some(to.account), lead.owner.clone());
        work.create::<Contact>(
            to.contact,
            ContactCommand::Create(ContactCreated { details, account, owner, lead: Some(self.lead) }),
        )
    }

    async fn opportunity(
        &self,
        work: &mut Work<'_>,
        lead: &Lead,
        to: Conversion,
        deal: Option<Deal>,
    ) -> Result<(), Refusal> {
        let (Some(opportunity), Some(id), Some(deal)) = (&self.opportunity, to.opportunity, deal) else {
            return Ok(());
        };
        let Deal { name, amount, close_date } = deal;
        let stage = enter(work, "/opportunity", opportunity.pipeline, opportunity.stage, id).await?;
        let opened = OpportunityOpened {
            name,
            account: Some(to.account),
            contact: Some(to.contact),
            pipeline: opportunity.pipeline,
            stage,
            amount,
            close_date,
            owner: lead.owner.clone(),
            line_items: Vec::new(),
            lead: Some(self.lead),
        };
        work.create::<Opportunity>(id, OpportunityCommand::Open(opened))
    }
}
