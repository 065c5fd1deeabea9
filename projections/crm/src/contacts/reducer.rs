//! Applies contact events to rows, words and history.

use crm_aggregates::{AccountId, ContactDetails, ContactEvent, LeadId};
use kernel::Personal;
use projector::ApplyError;
use sqlx::types::Json;

use super::row::{ContactHistoryRow, ContactRow};
use folding::as_of::End;
use folding::change::Change;
use folding::fold::{Current, Erasable};
use folding::history::Kept;
use folding::table::Key;
use folding::words::Searchable;

impl Current for ContactRow {
    type Event = ContactEvent;

    fn key(&self) -> Key {
        (self.tenant_id, self.contact_id)
    }

    fn version(&self) -> i64 {
        self.version
    }

    fn begin(change: &Change<'_, ContactEvent>) -> Option<Self> {
        let ContactEvent::ContactCreated(created) = &change.event else { return None };
        let (tenant_id, contact_id) = change.key;
        let mut row = Self {
            tenant_id,
            contact_id,
            version: change.version,
            name: String::new(),
            title: None,
            email: None,
            phone: None,
            address: None,
            account_id: created.account.map(AccountId::uuid),
            owner: created.owner.clone(),
            lead_id: created.lead.map(LeadId::uuid),
            created_at: change.occurred_at,
            changed_at: change.occurred_at,
            erased_at: None,
        };
        row.describe(&created.details);
        Some(row)
    }

    fn evolve(&mut self, change: &Change<'_, ContactEvent>) {
        self.version = change.version;
        self.changed_at = change.occurred_at;
        match &change.event {
            ContactEvent::ContactCreated(e) => self.describe(&e.details),
            ContactEvent::ContactDetailsChanged(e) => self.describe(&e.details),
            ContactEvent::ContactAccountChanged(e) => self.account_id = e.account.map(AccountId::uuid),
            ContactEvent::ContactReassigned(e) => self.owner = Some(e.owner.clone()),
            // Which leads belong to the contact is in the rows of leads.
            ContactEvent::ContactLeadJoined(_) => {}
            ContactEvent::ContactErased(_) => {
                self.describe(&ContactDetails::default());
                self.erased_at = Some(change.occurred_at);
            }
        }
    }
}

impl Kept for ContactRow {
    type Version = ContactHistoryRow;

    fn kept(&self, change: &Change<'_, ContactEvent>) -> Result<ContactHistoryRow, ApplyError> {
        Ok(ContactHistoryRow {
            tenant_id: self.tenant_id,
            contact_id: self.contact_id,
            version: change.version,
            change: change.name(),
            actor: change.actor()?,
            account_id: self.account_id,
            owner: self.owner.clone(),
            valid_from: change.occurred_at,
            valid_to: End(None),
            known_from: change.recorded_at,
            known_to: End(None),
        })
    }
}

impl Erasable for ContactRow {
    fn forget(&mut self) {
        (self.name, self.email, self.phone, self.address) = (String::new(), None, None, None);
    }
}

impl ContactRow {
    fn describe(&mut self, details: &ContactDetails) {
        let ContactDetails { name, title, email, phone, address } = details;
        self.name.clone_from(name.reveal());
        self.title.clone_from(title);
        // Folded again: events from before addresses were stored in Unicode's composed form are found like the others.
        self.email = email.as_ref().and_then(Personal::known).map(|email| kernel::folded(email));
        self.phone = phone.as_ref().and_then(Personal::known).cloned();
        self.address = address.as_ref().and_then(Personal::known).cloned().map(Json);
    }
}

/// Contacts are found by name, e-mail address and telephone number.
impl Searchable for ContactRow {
    const WORDS: (&'static str, &'static str) = ("contact_word", "contact_id");

    fn texts(&self) -> impl Iterator<Item = &str> {
        [Some(self.name.as_str()), self.email.as_deref(), self.phone.as_deref()].into_iter().flatten()
    }
}
