//! Contact: a person we deal with.

use kernel::Personal;
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
