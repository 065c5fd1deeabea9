//! The commands of contacts.

use crm_aggregates::{AccountId, Contact, ContactCommand, ContactCreated, ContactDetails, ContactId};
use executor::{ClaimKind, Command, Work};
use kernel::{Checks, Personal, PostalAddress, Refusal};

use crate::owner;
use crate::references::existing_account;
use crate::values;

/// Claims on e-mail addresses: only one contact has an address, unless duplicates are explicitly allowed.
pub(crate) static EMAIL: ClaimKind = ClaimKind {
    name: "crm.contact.email",
    code: "contact_email_taken",
    detail: "another contact (holder) has this e-mail address; set allow_duplicate to true to save the contact anyway",
};

/// The details of a contact as sent; validated when the command runs.
#[derive(Clone, Debug, Default)]
pub struct ContactFields {
    pub name: String,
    pub title: Option<String>,
    /// Unique among contacts, unless a duplicate is allowed.
    pub email: Option<String>,
    pub phone: Option<String>,
    /// The postal address.
    pub address: Option<PostalAddress>,
}

impl ContactFields {
    fn check(&self, checks: &mut Checks) -> ContactDetails {
        ContactDetails {
            name: checks.line("/name", &self.name, values::NAME).into(),
            title: self.title.as_deref().map(|text| checks.line("/title", text, values::NAME)),
            email: self.email.as_deref().map(|text| checks.email("/email", text).into()),
            phone: self.phone.as_deref().map(|text| checks.phone("/phone", text).into()),
            address: self.address.as_ref().map(|address| address.check(checks, "/address").into()),
        }
    }
}

/// Creates a contact.
#[derive(Clone, Debug, Default)]
pub struct CreateContact {
    pub details: ContactFields,
    pub account: Option<AccountId>,
    /// The user responsible.
    pub owner: Option<String>,
    /// Whether the command succeeds even if another contact has this e-mail address.
    pub allow_duplicate: bool,
}

/// Replaces all details of a contact.
#[derive(Clone, Debug)]
pub struct ChangeContactDetails {
    pub contact: ContactId,
    pub details: ContactFields,
    /// Whether the command succeeds even if another contact has this e-mail address.
    pub allow_duplicate: bool,
}

/// Moves a contact to another account, or to none.
#[derive(Clone, Debug)]
pub struct ChangeContactAccount {
    pub contact: ContactId,
    pub account: Option<AccountId>,
}

/// Makes another user responsible for a contact.
#[derive(Clone, Debug)]
pub struct ReassignContact {
    pub contact: ContactId,
    pub owner: String,
}

/// Claims an e-mail address for a contact. If duplicates are allowed, it is claimed only if it is free.
///
/// Contacts that were admitted as duplicates get no claim, even when the holder releases the address: the next contact with this address
/// can then claim it without allowing a duplicate.
pub(crate) fn claim_email(work: &mut Work<'_>, email: &Personal<String>, holder: ContactId, allow_duplicate: bool) {
    if allow_duplicate {
        work.mark(&EMAIL, email.reveal(), holder);
    } else {
        work.take(&EMAIL, email.reveal(), holder);
    }
}

impl Command for CreateContact {
    const PERMISSION: &'static str = "crm:contact:write";
    type Answer = ContactId;

    async fn run(&self, work: &mut Work<'_>) -> Result<ContactId, Refusal> {
        let mut checks = Checks::default();
        let details = self.details.check(&mut checks);
        let owner = self.owner.as_deref().map(|text| owner::form(&mut checks, text));
        checks.finish()?;
        existing_account(work, self.account).await?;
        owner::check(work, owner.as_deref()).await?;
        let contact: ContactId = work.new_id();
        if let Some(email) = &details.email {
            claim_email(work, email, contact, self.allow_duplicate);
        }
        let created = ContactCreated { details, account: self.account, owner, lead: None };
        work.create::<Contact>(contact, ContactCommand::Create(created))?;
        Ok(contact)
    }
}

impl Command for ChangeContactDetails {
    const PERMISSION: &'static str = "crm:contact:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let mut checks = Checks::default();
        let details = self.details.check(&mut checks);
        checks.finish()?;
        let before = work.read::<Contact>(self.contact).await?.details.email.clone();
        let after = details.email.clone();
        work.update::<Contact>(self.contact, ContactCommand::ChangeDetails { details }).await?;
        if before != after {
            if let Some(email) = before.as_ref().and_then(Personal::known) {
                work.release(&EMAIL, email, self.contact);
            }
            if let Some(email) = after {
                claim_email(work, &email, self.contact, self.allow_duplicate);
            }
        }
        Ok(())
    }
}

impl Command for ChangeContactAccount {
    const PERMISSION: &'static str = "crm:contact:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        work.update::<Contact>(self.contact, ContactCommand::ChangeAccount { account: self.account }).await?;
        existing_account(work, self.account).await
    }
}

impl Command for ReassignContact {
    const PERMISSION: &'static str = "crm:contact:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        owner::reassign::<Contact>(
            work,
            self.contact,
            &self.owner,
            |contact| contact.owner.as_deref(),
            |owner| ContactCommand::Reassign { owner },
        )
        .await
    }
}
