//! What can be asked of an account.

use crm_aggregates::AccountId;

/// What an account is, as sent; checked when the command runs.
#[derive(Clone, Debug, Default)]
pub struct AccountFields {
    pub name: String,
    /// `https://…` or `http://…`.
    pub website: Option<String>,
    pub industry: Option<String>,
    /// ISO 3166-1 alpha-2.
    pub country: Option<String>,
    pub employees: Option<u32>,
}

/// Adds an account.
#[derive(Clone, Debug, Default)]
pub struct CreateAccount {
    pub details: AccountFields,
    /// The user responsible.
    pub owner: Option<String>,
}

/// Replaces an account's details: these are all of them.
#[derive(Clone, Debug)]
pub struct ChangeAccountDetails {
    pub account: AccountId,
    pub details: AccountFields,
}
crate::pending! {
    CreateAccount: AccountId, "crm:account:write";
    ChangeAccountDetails: (), "crm:account:write";
}
