//! Reverting an import: the user's request, and the commands that the saga sends for each batch of leads.

use crm_aggregates::{
    ImportBatch, ImportBatchCommand, ImportId, ImportReverted, Lead, LeadCommand, LeadError, LeadId, LeadStatus,
};
use executor::{Command, Work};
use kernel::{Checks, Refusal};
use serde::{Deserialize, Serialize};

use crate::values;

/// Requests that an import be reverted. This starts the saga that does it.
#[derive(Clone, Debug)]
pub struct RequestImportRevert {
    pub import: ImportId,
    pub reason: String,
    /// One of its leads, as far as the caller knows. All that an import leaves that was interrupted, or still runs, is its leads.
    pub lead: Option<LeadId>,
}

/// Cancels the request.
#[derive(Clone, Copy, Debug)]
pub struct WithdrawImportRevert {
    pub import: ImportId,
}

/// Records that an import is reverted.
#[derive(Clone, Copy, Debug)]
pub struct CompleteImportRevert {
    pub import: ImportId,
    pub withdrawn: u64,
    pub kept: u64,
}

/// Withdraws those of an import's leads that were not changed since.
#[derive(Clone, Debug)]
pub struct WithdrawLeads {
    pub import: ImportId,
    pub leads: Vec<LeadId>,
}

/// Restores those of an import's leads that are withdrawn.
#[derive(Clone, Debug)]
pub struct RestoreLeads {
    pub import: ImportId,
    pub leads: Vec<LeadId>,
}

/// The result for a batch of leads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WithdrawnLeads {
    /// How many were withdrawn.
    pub withdrawn: u64,
    /// How many were kept because they were changed since the import.
    pub kept: u64,
}

impl Command for RequestImportRevert {
    const PERMISSION: &'static str = "crm:import:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let mut checks = Checks::default();
        let reason = checks.paragraph("/reason", &self.reason, values::REASON);
        checks.finish()?;
        let command = ImportBatchCommand::RequestRevert { reason };
        if self.created_the_lead(work).await? {
            return work.upsert::<ImportBatch>(self.import, command).await;
        }
        work.update::<ImportBatch>(self.import, command).await
    }
}

impl RequestImportRevert {
    async fn created_the_lead(&self, work: &mut Work<'_>) -> Result<bool, Refusal> {
        let Some(lead) = self.lead else { return Ok(false) };
        Ok(work.find::<Lead>(lead).await?.is_some_and(|lead| lead.import == Some(self.import)))
    }
}

impl Command for WithdrawImportRevert {
    const PERMISSION: &'static str = "crm:import:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        work.update::<ImportBatch>(self.import, ImportBatchCommand::WithdrawRevert).await
    }
}

impl Command for CompleteImportRevert {
    const PERMISSION: &'static str = "crm:import:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let reverted = ImportReverted { withdrawn: self.withdrawn, kept: self.kept };
        work.update::<ImportBatch>(self.import, ImportBatchCommand::CompleteRevert(reverted)).await
    }
}

impl Command for WithdrawLeads {
    const PERMISSION: &'static str = "crm:import:write";
    type Answer = WithdrawnLeads;

    async fn run(&self, work: &mut Work<'_>) -> Result<WithdrawnLeads, Refusal> {
        let mut answer = WithdrawnLeads::default();
        for lead in &self.leads {
            match work.update::<Lead>(lead, LeadCommand::Withdraw { import: self.import }).await {
                Ok(()) => answer.withdrawn += 1,
                Err(refusal) if refusal.code() == Refusal::from(LeadError::NotWithdrawn).code() => answer.kept += 1,
                Err(refusal) => return Err(refusal),
            }
        }
        Ok(answer)
    }
}

impl Command for RestoreLeads {
    const PERMISSION: &'static str = "crm:import:write";
    type Answer = u64;

    async fn run(&self, work: &mut Work<'_>) -> Result<u64, Refusal> {
        let mut restored = 0;
        for lead in &self.leads {
            let state = work.read::<Lead>(lead).await?;
            if state.status == LeadStatus::Withdrawn && state.import == Some(self.import) {
                work.update::<Lead>(lead, LeadCommand::Restore).await?;
                restored += 1;
            }
        }
        Ok(restored)
    }
}
