//! The commands of leads.

use crm_aggregates::{DisqualifyReason, Lead, LeadCaptured, LeadCommand, LeadDetails, LeadId, LeadSource};
use executor::{Command, Work};
use kernel::{Checks, PostalAddress, Refusal};

use crate::owner;
use crate::values;

/// The details of a lead as sent; validated when the command runs.
#[derive(Clone, Debug, Default)]
pub struct LeadFields {
    /// Full name of the person.
    pub name: String,
    /// Their organization.
    pub company: Option<String>,
    /// Their job title.
    pub title: Option<String>,
    /// E-mail address.
    pub email: Option<String>,
    /// Telephone number in international form.
    pub phone: Option<String>,
    /// ISO 3166-1 alpha-2.
    pub country: Option<String>,
    /// The postal address.
    pub address: Option<PostalAddress>,
}

impl LeadFields {
    pub(crate) fn check(&self, checks: &mut Checks) -> LeadDetails {
        LeadDetails {
            name: checks.line("/name", &self.name, values::NAME).into(),
            company: self.company.as_deref().map(|text| checks.line("/company", text, values::NAME)),
            title: self.title.as_deref().map(|text| checks.line("/title", text, values::NAME)),
            email: self.email.as_deref().map(|text| checks.email("/email", text).into()),
            phone: self.phone.as_deref().map(|text| checks.phone("/phone", text).into()),
            country: self.country.as_deref().map(|text| checks.country("/country", text)),
            address: self.address.as_ref().map(|address| address.check(checks, "/address").into()),
        }
    }
}

/// Captures a new lead. With an owner, it is assigned immediately.
#[derive(Clone, Debug, Default)]
pub struct CaptureLead {
    /// The person's details.
    pub details: LeadFields,
    /// The source of the lead.
    pub source: LeadSource,
    /// The user who works on it.
    pub owner: Option<String>,
}

/// Replaces all details of a lead.
#[derive(Clone, Debug)]
pub struct ChangeLeadDetails {
    pub lead: LeadId,
    pub details: LeadFields,
}

/// Assigns a lead to a user.
#[derive(Clone, Debug)]
pub struct AssignLead {
    pub lead: LeadId,
    pub owner: String,
}

/// Records that the owner begins to work on a lead.
#[derive(Clone, Debug)]
pub struct StartLeadWork {
    pub lead: LeadId,
}

/// Qualifies a lead.
#[derive(Clone, Debug)]
pub struct QualifyLead {
    pub lead: LeadId,
    pub note: Option<String>,
}

/// Recycles a lead, which may be worked on again later.
#[derive(Clone, Debug)]
pub struct RecycleLead {
    pub lead: LeadId,
    pub reason: String,
}

/// Disqualifies a lead.
#[derive(Clone, Debug)]
pub struct DisqualifyLead {
    pub lead: LeadId,
    pub reason: DisqualifyReason,
    pub note: Option<String>,
}

impl Command for CaptureLead {
    const PERMISSION: &'static str = "crm:lead:write";
    type Answer = LeadId;

    async fn run(&self, work: &mut Work<'_>) -> Result<LeadId, Refusal> {
        let mut checks = Checks::default();
        let details = self.details.check(&mut checks);
        let owner = self.owner.as_deref().map(|text| owner::form(&mut checks, text));
        checks.finish()?;
        owner::check(work, owner.as_deref()).await?;
        let lead: LeadId = work.new_id();
        let captured = LeadCaptured { details, source: self.source, owner, import: None };
        work.create::<Lead>(lead, LeadCommand::Capture(captured))?;
        Ok(lead)
    }
}

impl Command for ChangeLeadDetails {
    const PERMISSION: &'static str = "crm:lead:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let mut checks = Checks::default();
        let details = self.details.check(&mut checks);
        checks.finish()?;
        work.update::<Lead>(self.lead, LeadCommand::ChangeDetails { details }).await
    }
}

impl Command for AssignLead {
    const PERMISSION: &'static str = "crm:lead:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        owner::reassign::<Lead>(
            work,
            self.lead,
            &self.owner,
            |lead| lead.owner.as_deref(),
            |owner| LeadCommand::Assign { owner },
        )
        .await
    }
}

impl Command for StartLeadWork {
    const PERMISSION: &'static str = "crm:lead:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        work.update::<Lead>(self.lead, LeadCommand::StartWork).await
    }
}

impl Command for QualifyLead {
    const PERMISSION: &'static str = "crm:lead:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let mut checks = Checks::default();
        let note = self.note.as_deref().map(|text| checks.paragraph("/note", text, values::NOTE).into());
        checks.finish()?;
        work.update::<Lead>(self.lead, LeadCommand::Qualify { note }).await
    }
}

impl Command for RecycleLead {
    const PERMISSION: &'static str = "crm:lead:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let mut checks = Checks::default();
        let reason = checks.paragraph("/reason", &self.reason, values::REASON).into();
        checks.finish()?;
        work.update::<Lead>(self.lead, LeadCommand::Recycle { reason }).await
    }
}

impl Command for DisqualifyLead {
    const PERMISSION: &'static str = "crm:lead:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let mut checks = Checks::default();
        let note = self.note.as_deref().map(|text| checks.paragraph("/note", text, values::NOTE).into());
        checks.finish()?;
        work.update::<Lead>(self.lead, LeadCommand::Disqualify { reason: self.reason, note }).await
    }
}
