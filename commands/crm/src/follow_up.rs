//! Follow-up of inactive leads: the tenant's policy, and the commands that the saga sends to a lead.

use chrono::{DateTime, Utc};
use crm_aggregates::{FollowUp, FollowUpCommand, FollowUpPolicy, Lead, LeadCommand, LeadId};
use executor::{Command, Work};
use kernel::{Checks, Refusal};

use crate::{owner, values};

/// Maximum period without activity, in days.
const LONGEST: u32 = 365;

/// Sets the follow-up policy for leads that are qualified from now on.
#[derive(Clone, Debug)]
pub struct SetFollowUp {
    /// Days without activity until a lead is escalated: 1 to 365.
    pub escalate_after_days: u32,
    /// Who is notified of the escalation.
    pub escalate_to: String,
    /// Further days without activity until it is reassigned: 1 to 365.
    pub reassign_after_days: u32,
    /// The new owner after reassignment.
    pub reassign_to: String,
}

/// Stops the follow-up of leads that are qualified from now on.
#[derive(Clone, Copy, Debug)]
pub struct StopFollowUp;

/// Escalates an inactive lead: notifies somebody.
#[derive(Clone, Debug)]
pub struct EscalateLead {
    pub lead: LeadId,
    pub to: String,
    pub untouched_since: DateTime<Utc>,
}

/// Withdraws the escalation of a lead.
#[derive(Clone, Copy, Debug)]
pub struct WithdrawLeadEscalation {
    pub lead: LeadId,
}

/// Reassigns a lead to another user, if it still belongs to the expected one.
#[derive(Clone, Debug)]
pub struct HandLeadOver {
    pub lead: LeadId,
    pub from: String,
    pub to: String,
}

impl Command for SetFollowUp {
    const PERMISSION: &'static str = "crm:follow_up:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let mut checks = Checks::default();
        let mut days = |pointer: &str, days: u32| {
            if !(1..=LONGEST).contains(&days) {
                checks.refuse(pointer, "days", format!("the number of days is {days}; allowed are 1 to {LONGEST}"));
            }
            days
        };
        let escalate_after_days = days("/escalate_after_days", self.escalate_after_days);
        let reassign_after_days = days("/reassign_after_days", self.reassign_after_days);
        let policy = FollowUpPolicy {
            escalate_after_days,
            escalate_to: checks.identifier("/escalate_to", &self.escalate_to, values::SUBJECT),
            reassign_after_days,
            reassign_to: checks.identifier("/reassign_to", &self.reassign_to, values::SUBJECT),
        };
        checks.finish()?;
        let named = [("/escalate_to", policy.escalate_to.as_str()), ("/reassign_to", policy.reassign_to.as_str())];
        owner::check_all(work, &named).await?;
        let tenant = work.caller().tenant();
        work.upsert::<FollowUp>(tenant, FollowUpCommand::Set(policy)).await
    }
}

impl Command for StopFollowUp {
    const PERMISSION: &'static str = "crm:follow_up:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let tenant = work.caller().tenant();
        work.upsert::<FollowUp>(tenant, FollowUpCommand::Stop).await
    }
}

impl Command for EscalateLead {
    const PERMISSION: &'static str = "crm:lead:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let Self { lead, to, untouched_since } = self.clone();
        work.update::<Lead>(lead, LeadCommand::Escalate { to, untouched_since }).await
    }
}

impl Command for WithdrawLeadEscalation {
    const PERMISSION: &'static str = "crm:lead:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        work.update::<Lead>(self.lead, LeadCommand::WithdrawEscalation).await
    }
}

impl Command for HandLeadOver {
    const PERMISSION: &'static str = "crm:lead:write";
    type Answer = bool;

    async fn run(&self, work: &mut Work<'_>) -> Result<bool, Refusal> {
        let lead = work.read::<Lead>(self.lead).await?;
        let still = lead.owner.as_ref() == Some(&self.from);
        if still {
            work.update::<Lead>(self.lead, LeadCommand::Assign { owner: self.to.clone() }).await?;
        }
        Ok(still)
    }
}
