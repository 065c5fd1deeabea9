//! Account: a customer organization.

use std::convert::Infallible;

use kernel::Aggregate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::LeadId;

kernel::events! {
    /// The events of an account.
    pub enum AccountEvent of "crm.account" {
        /// An account was created.
        AccountCreated = "crm.account.created" @ 1 {
            pub details: AccountDetails,
            /// The responsible user, as the subject of their token.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub owner: Option<String>,
            /// The lead that was converted into it.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub lead: Option<LeadId>,
        },
        /// The account's details were changed. The event contains all of them.
        AccountDetailsChanged = "crm.account.details_changed" @ 1 { pub details: AccountDetails },
        /// The account was assigned to another user.
        AccountReassigned = "crm.account.reassigned" @ 1 {
            /// The responsible user, as the subject of their token.
            pub owner: String,
        },
    }
}

/// The details of an account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AccountDetails {
    /// Legal or trading name.
    pub name: String,
    /// Web address, `https://…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub website: Option<String>,
    /// Industry, as free text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub industry: Option<String>,
    /// ISO 3166-1 alpha-2 country code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// Number of employees.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub employees: Option<u32>,
}

/// An account, as it results from its events.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Account {
    pub details: AccountDetails,
    /// The responsible user, as the subject of their token.
    pub owner: Option<String>,
    /// The lead that was converted into it.
    pub lead: Option<LeadId>,
}

/// Commands for an account. The form of their values has been checked.
#[derive(Clone, Debug, PartialEq)]
pub enum AccountCommand {
    Create(AccountCreated),
    ChangeDetails { details: AccountDetails },
    Reassign { owner: String },
}

impl Aggregate for Account {
    const TYPE: &'static str = "crm.account";
    type Command = AccountCommand;
    type Event = AccountEvent;
    type Error = Infallible;

    fn decide(&self, command: AccountCommand) -> Result<Vec<AccountEvent>, Infallible> {
        Ok(match command {
            AccountCommand::Create(created) => vec![created.into()],
            AccountCommand::ChangeDetails { details } if details == self.details => vec![],
            AccountCommand::ChangeDetails { details } => vec![AccountDetailsChanged { details }.into()],
            AccountCommand::Reassign { owner } if self.owner.as_ref() == Some(&owner) => vec![],
            AccountCommand::Reassign { owner } => vec![AccountReassigned { owner }.into()],
        })
    }

    fn evolve(&mut self, event: AccountEvent) {
        match event {
            AccountEvent::AccountCreated(created) => {
                self.details = created.details;
                self.owner = created.owner;
                self.lead = created.lead;
            }
            AccountEvent::AccountDetailsChanged(changed) => self.details = changed.details,
            AccountEvent::AccountReassigned(reassigned) => self.owner = Some(reassigned.owner),
        }
    }
}

kernel::aggregate!(Account);

#[cfg(test)]
mod tests {
    use cqrs_es::test::TestFramework;

    use super::*;

    fn details(name: &str) -> AccountDetails {
        AccountDetails { name: name.to_owned(), country: Some("DE".to_owned()), ..AccountDetails::default() }
    }

    fn created() -> AccountCreated {
        AccountCreated { details: details("Analytical Engines"), owner: None, lead: None }
    }

    #[test]
    fn an_account_is_created_with_its_details() {
        TestFramework::<Account>::with(())
            .given_no_previous_events()
            .when(AccountCommand::Create(created()))
            .then_expect_events(vec![created().into()]);
    }

    #[test]
    fn details_change_as_a_whole() {
        TestFramework::<Account>::with(())
            .given(vec![created().into()])
            .when(AccountCommand::ChangeDetails { details: details("Difference Engines") })
            .then_expect_events(vec![AccountDetailsChanged { details: details("Difference Engines") }.into()]);
    }

    #[test]
    fn another_user_takes_an_account_over_and_that_once() {
        let reassign = || AccountCommand::Reassign { owner: "grace".to_owned() };
        let reassigned = || AccountEvent::from(AccountReassigned { owner: "grace".to_owned() });
        let given = |events| TestFramework::<Account>::with(()).given(events);
        given(vec![created().into()]).when(reassign()).then_expect_events(vec![reassigned()]);
        given(vec![created().into(), reassigned()]).when(reassign()).then_expect_events(vec![]);
    }

    #[test]
    fn the_same_details_are_no_event() {
        TestFramework::<Account>::with(())
            .given(vec![created().into(), AccountDetailsChanged { details: details("Difference Engines") }.into()])
            .when(AccountCommand::ChangeDetails { details: details("Difference Engines") })
            .then_expect_events(vec![]);
    }
}
