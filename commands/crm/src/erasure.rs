//! Erasure: nobody can tell any more who a lead or a contact was.
//!
//! A person may be in CRM several times: as a lead, as the contact that it was converted into, as leads that came later and were
//! converted into the same contact. Each has a key of its own, and all of them are erased by one command, whichever it begins
//! with. Who is only alike (the same address, say) is somebody else until somebody says otherwise.

use crm_aggregates::{Contact, ContactCommand, ContactId, ErasureReason, Lead, LeadCommand, LeadId};
use executor::{Command, Work};
use kernel::{Personal, Refusal};

use crate::contact::EMAIL;

/// Erases a lead, and the contact that is the same person.
#[derive(Clone, Copy, Debug)]
pub struct EraseLead {
    pub lead: LeadId,
    pub reason: ErasureReason,
}

/// Erases a contact, and the leads that are the same person.
#[derive(Clone, Copy, Debug)]
pub struct EraseContact {
    pub contact: ContactId,
    pub reason: ErasureReason,
}

impl Command for EraseLead {
    const PERMISSION: &'static str = "crm:contact:erase";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        work.update::<Lead>(self.lead, LeadCommand::Erase { reason: self.reason }).await?;
        match &work.read::<Lead>(self.lead).await?.conversion {
            Some(conversion) => contact(work, conversion.contact, self.reason).await,
            None => Ok(()),
        }
    }
}

impl Command for EraseContact {
    const PERMISSION: &'static str = "crm:contact:erase";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        contact(work, self.contact, self.reason).await
    }
}

/// Erases a contact with its leads, and gives its address back.
async fn contact(work: &mut Work<'_>, id: ContactId, reason: ErasureReason) -> Result<(), Refusal> {
    let before = work.read::<Contact>(id).await?;
    work.update::<Contact>(id, ContactCommand::Erase { reason }).await?;
    if let Some(email) = before.details.email.as_ref().and_then(Personal::known) {
        work.release(&EMAIL, email, id);
    }
    for lead in before.same() {
        work.update::<Lead>(lead, LeadCommand::Erase { reason }).await?;
    }
    Ok(())
}
