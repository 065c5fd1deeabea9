//! Erasure: nobody can tell any more who a lead or a contact was.
//!
//! A person may be in CRM several times: as a lead, as the contact that it was converted into, as leads that came later and were
//! converted into the same contact. Each has a key of its own, and all of them are erased by one command, whichever it begins
//! with. Who is only alike (the same address, say) is somebody else until somebody says otherwise.
//!
//! Who can't be read as a whole (an event is damaged, or of a newer program) is erased all the same, by what can be read: their right to
//! it does not wait for us.
//!
//! A contact names the leads that are the same person, but for those that were converted into it before it did: only they name it.
//! Whoever asks looks for them ([`Erasing::perhaps`]), and the command takes those that say so themselves.

use crm_aggregates::{Contact, ContactCommand, ContactId, ErasureReason, Lead, LeadCommand, LeadId, LeadStatus};
use executor::{AskedJob, Command, Work};
use kernel::{Personal, Refusal};

use crate::contact::EMAIL;

/// Erases a lead, and the contact that is the same person.
#[derive(Clone, Debug)]
pub struct EraseLead {
    pub lead: LeadId,
    /// The contact that it was converted into, as far as whoever asks knows: of that one [`Erasing::perhaps`] was looked for. Where it can't
    /// be read whether the lead was converted, the one that perhaps was made of it; if it was not, it stays.
    pub contact: Option<ContactId>,
    pub erasing: Erasing,
}

/// The refusal when a lead was converted while it was looked for who else it is: asked again, it goes.
pub const LEAD_CONVERTED_MEANWHILE: &str = "lead_converted_meanwhile";

/// Erases a contact, and the leads that are the same person.
#[derive(Clone, Debug)]
pub struct EraseContact {
    pub contact: ContactId,
    pub erasing: Erasing,
}

/// How somebody is erased.
#[derive(Clone, Debug)]
pub struct Erasing {
    pub reason: ErasureReason,
    /// Leads of which the contact may not know that they are the same person. Those that were not converted into it stay.
    pub perhaps: Vec<LeadId>,
    /// What removes the files in which they still are. Asked for in the append, once: when nobody is left to erase, it was before.
    pub forget: AskedJob,
}

impl Command for EraseLead {
    const PERMISSION: &'static str = "crm:contact:erase";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let whole = work.salvage::<Lead>(self.lead).await?;
        let converted = work.read::<Lead>(self.lead).await?.conversion.as_ref().map(|converted| converted.contact);
        let same = match (converted, self.contact) {
            (converted, known) if converted == known => converted,
            // Its conversion is perhaps what can't be read: then the contact says so.
            (None, Some(perhaps)) if !whole => {
                work.salvage::<Contact>(perhaps).await?;
                let found = work.find::<Contact>(perhaps).await?;
                found.filter(|contact| contact.same().any(|lead| lead == self.lead)).map(|_| perhaps)
            }
            _ => {
                let detail = "the lead was converted in the meantime, so nothing was erased; try again";
                return Err(Refusal::conflict(LEAD_CONVERTED_MEANWHILE, detail));
            }
        };
        let mut found = lead(work, self.lead, &self.erasing).await?;
        if let Some(same) = same {
            found |= contact(work, same, &self.erasing).await?;
        }
        forget(work, found, &self.erasing);
        Ok(())
    }
}

impl Command for EraseContact {
    const PERMISSION: &'static str = "crm:contact:erase";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let found = contact(work, self.contact, &self.erasing).await?;
        forget(work, found, &self.erasing);
        Ok(())
    }
}

/// Erases a lead. Whether there was somebody to erase.
async fn lead(work: &mut Work<'_>, id: LeadId, erasing: &Erasing) -> Result<bool, Refusal> {
    work.salvage::<Lead>(id).await?;
    let known = work.read::<Lead>(id).await?.status != LeadStatus::Erased;
    work.update::<Lead>(id, LeadCommand::Erase { reason: erasing.reason }).await?;
    Ok(known)
}

/// Erases a contact with its leads, and gives its address back. Whether there was somebody to erase.
async fn contact(work: &mut Work<'_>, id: ContactId, erasing: &Erasing) -> Result<bool, Refusal> {
    work.salvage::<Contact>(id).await?;
    let before = work.read::<Contact>(id).await?;
    work.update::<Contact>(id, ContactCommand::Erase { reason: erasing.reason }).await?;
    if let Some(email) = before.details.email.as_ref().and_then(Personal::known) {
        work.release(&EMAIL, email, id);
    }
    let mut known = !before.erased;
    for same in before.same() {
        known |= lead(work, same, erasing).await?;
    }
    for perhaps in &erasing.perhaps {
        work.salvage::<Lead>(*perhaps).await?;
        let Some(converted) = work.find::<Lead>(*perhaps).await?.and_then(|lead| lead.conversion.clone()) else {
            continue;
        };
        if converted.contact == id {
            known |= lead(work, *perhaps, erasing).await?;
        }
    }
    Ok(known)
}

fn forget(work: &mut Work<'_>, found: bool, erasing: &Erasing) {
    if found {
        work.enqueue(erasing.forget.clone());
    }
}
