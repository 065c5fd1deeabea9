//! Account: an organization we sell to.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::LeadId;

kernel::events! {
    /// What can happen to an account.
    pub enum AccountEvent of "crm.account" {
        /// An account was added.
        AccountCreated = "crm.account.created" @ 1 {
            pub details: AccountDetails,
            /// The user responsible.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub owner: Option<String>,
            /// The lead that it was converted from.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub lead: Option<LeadId>,
        },
        /// Its details were corrected or completed; these are all of them.
        AccountDetailsChanged = "crm.account.details_changed" @ 1 { pub details: AccountDetails },
    }
}

/// What an account is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AccountDetails {
    /// Legal or trading name.
    pub name: String,
    /// Web address, `https://…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub website: Option<String>,
    /// Branch of business, free text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub industry: Option<String>,
    /// ISO 3166-1 alpha-2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// Number of people who work there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub employees: Option<u32>,
}
