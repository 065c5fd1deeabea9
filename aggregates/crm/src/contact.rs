//! Contact: a person we deal with.

use std::convert::Infallible;

use kernel::{Aggregate, Personal};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{AccountId, LeadId};

kernel::events! {
    /// What can happen to a contact.
    pub enum ContactEvent of "crm.contact" {
        /// A contact was added.
        ContactCreated = "crm.contact.created" @ 1 {
            pub details: ContactDetails,
            /// The organization they belong to.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub account: Option<AccountId>,
            /// The user responsible.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub owner: Option<String>,
            /// The lead that it was converted from.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub lead: Option<LeadId>,
        },
        /// Its details were corrected or completed; these are all of them.
        ContactDetailsChanged = "crm.contact.details_changed" @ 1 { pub details: ContactDetails },
        /// It now belongs to another account, or to none.
        ContactAccountChanged = "crm.contact.account_changed" @ 1 {
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub account: Option<AccountId>,
        },
    }
}

/// Who a contact is and how to reach them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ContactDetails {
    /// Full name.
    pub name: Personal<String>,
    /// What they do at their account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// E-mail address, lower case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<Personal<String>>,
    /// E.164.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<Personal<String>>,
}

/// A contact as its history has made it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Contact {
    pub details: ContactDetails,
    /// The organization they belong to.
    pub account: Option<AccountId>,
    /// The user responsible.
    pub owner: Option<String>,
    /// The lead that it was converted from.
    pub lead: Option<LeadId>,
}

/// What can be asked of a contact. Values have been checked for form.
#[derive(Clone, Debug, PartialEq)]
pub enum ContactCommand {
    Create(ContactCreated),
    ChangeDetails { details: ContactDetails },
    ChangeAccount { account: Option<AccountId> },
}

impl Aggregate for Contact {
    const TYPE: &'static str = "crm.contact";
    type Command = ContactCommand;
    type Event = ContactEvent;
    type Error = Infallible;

    fn decide(&self, command: ContactCommand) -> Result<Vec<ContactEvent>, Infallible> {
        Ok(match command {
            ContactCommand::Create(created) => vec![created.into()],
            ContactCommand::ChangeDetails { details } if details == self.details => vec![],
            ContactCommand::ChangeDetails { details } => vec![ContactDetailsChanged { details }.into()],
            ContactCommand::ChangeAccount { account } if account == self.account => vec![],
            ContactCommand::ChangeAccount { account } => vec![ContactAccountChanged { account }.into()],
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
    fn details_and_account_change() {
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
    }

    #[test]
    fn what_changes_nothing_is_no_event() {
        let given = || {
            TestFramework::<Contact>::with(()).given(vec![
                created().into(),
                ContactDetailsChanged { details: details("Ada King") }.into(),
                ContactAccountChanged { account: Some(account(2)) }.into(),
            ])
        };
        given().when(ContactCommand::ChangeDetails { details: details("Ada King") }).then_expect_events(vec![]);
        given().when(ContactCommand::ChangeAccount { account: Some(account(2)) }).then_expect_events(vec![]);
    }
}
