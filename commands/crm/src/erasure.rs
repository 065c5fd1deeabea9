//! Erasure of the personal data of a lead or a contact.
//!
//! A person may be in CRM several times: as a lead, as the contact that the lead was converted into, and as later leads that were converted
//! into the same contact. Each record has its own encryption key, and one command erases all of them, whichever it starts from. Records
//! that are only similar (the same e-mail address, say) count as other people.
//!
//! Records with events that can't be decoded (damaged, or written by a newer program) are erased too, as far as they can be read: the right
//! to erasure must not depend on us.
//!
//! A contact lists the leads that are the same person, except those converted before contacts recorded them: only these leads refer to the
//! contact. The caller looks them up ([`Erasing::perhaps`]), and the command erases those whose own state names the contact.

use crm_aggregates::{Contact, ContactCommand, ContactId, ErasureReason, Lead, LeadCommand, LeadId, LeadStatus};
use executor::{AskedJob, Command, Work};
use kernel::{Personal, Refusal};

use crate::contact::EMAIL;

/// Erases a lead and the contact that it was converted into.
#[derive(Clone, Debug)]
pub struct EraseLead {
    pub lead: LeadId,
    /// The contact that the lead was converted into, as far as the caller knows; [`Erasing::perhaps`] was looked up for this contact. If
    /// the lead's conversion can't be decoded: a contact that may result from it, which is erased only if it names the lead.
    pub contact: Option<ContactId>,
    pub erasing: Erasing,
}

/// The refusal if the lead was converted while the caller looked up the related records. A retry succeeds.
pub const LEAD_CONVERTED_MEANWHILE: &str = "lead_converted_meanwhile";

/// Erases a contact and the leads that are the same person.
#[derive(Clone, Debug)]
pub struct EraseContact {
    pub contact: ContactId,
    pub erasing: Erasing,
}

/// The parameters of an erasure.
#[derive(Clone, Debug)]
pub struct Erasing {
    pub reason: ErasureReason,
    /// Leads that may have been converted into the contact without being listed by it. Those that were not converted into it are not
    /// erased.
    pub perhaps: Vec<LeadId>,
    /// The job that deletes stored files with the person's data. Enqueued in the append, only once: not if everything was erased before.
    pub forget: AskedJob,
}

impl Command for EraseLead {
    const PERMISSION: &'static str = "crm:contact:erase";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let whole = work.load_lossy::<Lead>(self.lead).await?;
        let converted = work.read::<Lead>(self.lead).await?.conversion.as_ref().map(|converted| converted.contact);
        let same = match (converted, self.contact) {
            (converted, known) if converted == known => converted,
            // The conversion may be among the events that can't be decoded. The contact then tells whether it names the lead.
            (None, Some(perhaps)) if !whole => {
                work.load_lossy::<Contact>(perhaps).await?;
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

/// Erases a lead. Returns false if it was erased before.
async fn lead(work: &mut Work<'_>, id: LeadId, erasing: &Erasing) -> Result<bool, Refusal> {
    work.load_lossy::<Lead>(id).await?;
    let known = work.read::<Lead>(id).await?.status != LeadStatus::Erased;
    work.update::<Lead>(id, LeadCommand::Erase { reason: erasing.reason }).await?;
    Ok(known)
}

/// Erases a contact with its leads, and releases its e-mail address. Returns false if all of them were erased before.
async fn contact(work: &mut Work<'_>, id: ContactId, erasing: &Erasing) -> Result<bool, Refusal> {
    work.load_lossy::<Contact>(id).await?;
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
        work.load_lossy::<Lead>(*perhaps).await?;
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
