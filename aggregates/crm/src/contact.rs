//! Contact: a person at a customer.

use std::collections::BTreeSet;

use kernel::{Aggregate, Personal, PostalAddress, Refusal};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{AccountId, ErasureReason, LeadId};

/// Maximum leads that are converted into one contact.
pub const MOST_LEADS: usize = 200;

kernel::events! {
    /// The events of a contact.
    pub enum ContactEvent of "crm.contact" {
        /// A contact was created.
        ContactCreated = "crm.contact.created" @ 1 {
            pub details: ContactDetails,
            /// The account to which they belong.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub account: Option<AccountId>,
            /// The responsible user, as the subject of their token.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub owner: Option<String>,
            /// The lead that was converted into it.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub lead: Option<LeadId>,
        },
        /// The contact's details were changed. The event contains all of them.
        ContactDetailsChanged = "crm.contact.details_changed" @ 1 { pub details: ContactDetails },
        /// The contact was moved to another account or to none.
        ContactAccountChanged = "crm.contact.account_changed" @ 1 {
            /// The account. Absent: none.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub account: Option<AccountId>,
        },
        /// The contact was assigned to another user.
        ContactReassigned = "crm.contact.reassigned" @ 1 {
            /// The responsible user, as the subject of their token.
            pub owner: String,
        },
        /// A further lead, which is the same person, was converted into this contact.
        ContactLeadJoined = "crm.contact.lead_joined" @ 1 { pub lead: LeadId },
        /// The contact's personal data was erased.
        ContactErased = "crm.contact.erased" @ 1 { pub reason: ErasureReason },
    }
}

/// Who a contact is and how to reach them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ContactDetails {
    /// Full name.
    pub name: Personal<String>,
    /// Job title at their account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// E-mail address, lower case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<Personal<String>>,
    /// Telephone number in E.164 format.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<Personal<String>>,
    /// Postal address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Personal<PostalAddress>>,
}

/// A contact, as it results from its events.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Contact {
    pub details: ContactDetails,
    /// The account to which they belong.
    pub account: Option<AccountId>,
    /// The responsible user, as the subject of their token.
    pub owner: Option<String>,
    /// The lead that was converted into it.
    pub lead: Option<LeadId>,
    /// Further leads that were converted into this contact later.
    #[serde(default)]
    pub leads: BTreeSet<LeadId>,
    /// Whether their personal data was erased.
    #[serde(default)]
    pub erased: bool,
}

/// Commands for a contact. The form of their values has been checked.
#[derive(Clone, Debug, PartialEq)]
pub enum ContactCommand {
    Create(ContactCreated),
    ChangeDetails { details: ContactDetails },
    ChangeAccount { account: Option<AccountId> },
    Reassign { owner: String },
    JoinLead { lead: LeadId },
    Erase { reason: ErasureReason },
}

/// Why a contact refuses a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContactError {
    /// The contact was erased and can't be changed.
    #[error("the contact was erased and can't be changed any more")]
    Erased,
    /// Too many leads were converted into the contact.
    #[error("at most {MOST_LEADS} leads can be converted into one contact")]
    TooManyLeads,
}

impl From<ContactError> for Refusal {
    fn from(error: ContactError) -> Self {
        let code = match error {
            ContactError::Erased => "contact_erased",
            ContactError::TooManyLeads => "too_many_leads",
        };
        Self::conflict(code, error.to_string())
    }
}

impl Contact {
    /// The leads that are the same person.
    pub fn same(&self) -> impl Iterator<Item = LeadId> {
        self.lead.iter().chain(&self.leads).copied()
    }
}

impl Aggregate for Contact {
    const TYPE: &'static str = "crm.contact";
    const FORM: u32 = 3;
    const SEALED: bool = true;
    type Command = ContactCommand;
    type Event = ContactEvent;
    type Error = ContactError;

    fn decide(&self, command: ContactCommand) -> Result<Vec<ContactEvent>, ContactError> {
        Ok(match command {
            ContactCommand::Create(created) => vec![created.into()],
            ContactCommand::Erase { .. } if self.erased => vec![],
            ContactCommand::Erase { reason } => vec![ContactErased { reason }.into()],
            _ if self.erased => return Err(ContactError::Erased),
            ContactCommand::ChangeDetails { details } if details == self.details => vec![],
            ContactCommand::ChangeDetails { details } => vec![ContactDetailsChanged { details }.into()],
            ContactCommand::ChangeAccount { account } if account == self.account => vec![],
            ContactCommand::ChangeAccount { account } => vec![ContactAccountChanged { account }.into()],
            ContactCommand::Reassign { owner } if self.owner.as_ref() == Some(&owner) => vec![],
            ContactCommand::Reassign { owner } => vec![ContactReassigned { owner }.into()],
            ContactCommand::JoinLead { lead } if self.same().any(|same| same == lead) => vec![],
            ContactCommand::JoinLead { .. } if self.leads.len() >= MOST_LEADS => {
                return Err(ContactError::TooManyLeads);
            }
            ContactCommand::JoinLead { lead } => vec![ContactLeadJoined { lead }.into()],
        })
    }

    fn evolve(&mut self, event: ContactEvent) {
        match event {
            ContactEvent::ContactCreated(created) => {
                self.details = created.details;
                self.account = created.account;
                self.owner = created.owner;
                self.lead = created.lead;
            }
            ContactEvent::ContactDetailsChanged(changed) => self.details = changed.details,
            ContactEvent::ContactAccountChanged(changed) => self.account = changed.account,
            ContactEvent::ContactReassigned(reassigned) => self.owner = Some(reassigned.owner),
            ContactEvent::ContactLeadJoined(joined) => _ = self.leads.insert(joined.lead),
            ContactEvent::ContactErased(_) => (self.details, self.erased) = (ContactDetails::default(), true),
        }
    }
}

kernel::aggregate!(Contact);

#[cfg(test)]
mod tests {
    use cqrs_es::test::TestFramework;

    use super::*;

    fn details(name: &str) -> ContactDetails {
        ContactDetails { name: name.to_owned().into(), ..ContactDetails::default() }
    }

    fn account(number: u128) -> AccountId {
        AccountId::new(uuid::Uuid::from_u128(number))
    }

    fn created() -> ContactCreated {
        ContactCreated { details: details("Ada Lovelace"), account: Some(account(1)), owner: None, lead: None }
    }

    #[test]
    fn a_contact_is_created_with_its_details() {
        TestFramework::<Contact>::with(())
            .given_no_previous_events()
            .when(ContactCommand::Create(created()))
            .then_expect_events(vec![created().into()]);
    }

    #[test]
    fn details_account_and_owner_change() {
        let given = || TestFramework::<Contact>::with(()).given(vec![created().into()]);
        given()
            .when(ContactCommand::ChangeDetails { details: details("Ada King") })
            .then_expect_events(vec![ContactDetailsChanged { details: details("Ada King") }.into()]);
        given()
            .when(ContactCommand::ChangeAccount { account: Some(account(2)) })
            .then_expect_events(vec![ContactAccountChanged { account: Some(account(2)) }.into()]);
        given()
            .when(ContactCommand::ChangeAccount { account: None })
            .then_expect_events(vec![ContactAccountChanged { account: None }.into()]);
        given()
            .when(ContactCommand::Reassign { owner: "grace".to_owned() })
            .then_expect_events(vec![ContactReassigned { owner: "grace".to_owned() }.into()]);
    }

    fn lead(number: u128) -> LeadId {
        LeadId::new(uuid::Uuid::from_u128(number))
    }

    #[test]
    fn a_contact_knows_the_leads_that_are_the_same_person() {
        let from_lead = ContactCreated { lead: Some(lead(1)), ..created() };
        let given = |events: Vec<ContactEvent>| TestFramework::<Contact>::with(()).given(events);
        let join = |number| ContactCommand::JoinLead { lead: lead(number) };
        let joined = |number| ContactEvent::from(ContactLeadJoined { lead: lead(number) });
        given(vec![from_lead.clone().into()]).when(join(1)).then_expect_events(vec![]);
        given(vec![from_lead.clone().into()]).when(join(2)).then_expect_events(vec![joined(2)]);
        given(vec![from_lead.clone().into(), joined(2)]).when(join(2)).then_expect_events(vec![]);
        let full = (2..).take(MOST_LEADS).map(joined);
        let history = std::iter::once(from_lead.into()).chain(full).collect();
        given(history).when(join(1_000)).then_expect_error(ContactError::TooManyLeads);
    }

    #[test]
    fn who_is_erased_is_nobody_and_stays_so() {
        let erased = || ContactEvent::from(ContactErased { reason: ErasureReason::Objected });
        let given = || TestFramework::<Contact>::with(()).given(vec![created().into(), erased()]);
        TestFramework::<Contact>::with(())
            .given(vec![created().into()])
            .when(ContactCommand::Erase { reason: ErasureReason::Objected })
            .then_expect_events(vec![erased()]);
        given().when(ContactCommand::Erase { reason: ErasureReason::Requested }).then_expect_events(vec![]);
        for command in [
            ContactCommand::ChangeDetails { details: details("Ada King") },
            ContactCommand::ChangeAccount { account: None },
            ContactCommand::Reassign { owner: "grace".to_owned() },
            ContactCommand::JoinLead { lead: lead(1) },
        ] {
            given().when(command).then_expect_error(ContactError::Erased);
        }
        let mut contact = Contact::default();
        contact.evolve(ContactCreated { lead: Some(lead(1)), ..created() }.into());
        contact.evolve(erased());
        assert_eq!(contact.details, ContactDetails::default());
        assert_eq!(contact.same().collect::<Vec<_>>(), [lead(1)], "by which the rest of them is found");
    }

    #[test]
    fn what_changes_nothing_is_no_event() {
        let given = || {
            TestFramework::<Contact>::with(()).given(vec![
                created().into(),
                ContactDetailsChanged { details: details("Ada King") }.into(),
                ContactAccountChanged { account: Some(account(2)) }.into(),
                ContactReassigned { owner: "grace".to_owned() }.into(),
            ])
        };
        given().when(ContactCommand::ChangeDetails { details: details("Ada King") }).then_expect_events(vec![]);
        given().when(ContactCommand::ChangeAccount { account: Some(account(2)) }).then_expect_events(vec![]);
        given().when(ContactCommand::Reassign { owner: "grace".to_owned() }).then_expect_events(vec![]);
    }
}
