//! What can be asked of a contact.

use crm_aggregates::{AccountId, ContactId};

/// Who a contact is, as sent; checked when the command runs.
#[derive(Clone, Debug, Default)]
pub struct ContactFields {
    pub name: String,
    pub title: Option<String>,
    /// Unique among contacts, unless a duplicate is allowed.
    pub email: Option<String>,
    pub phone: Option<String>,
}

/// Adds a contact.
#[derive(Clone, Debug, Default)]
pub struct CreateContact {
    pub details: ContactFields,
    pub account: Option<AccountId>,
    /// The user responsible.
    pub owner: Option<String>,
    /// Go on although another contact has this e-mail address.
    pub allow_duplicate: bool,
}

/// Replaces a contact's details: these are all of them.
#[derive(Clone, Debug)]
pub struct ChangeContactDetails {
    pub contact: ContactId,
    pub details: ContactFields,
    /// Go on although another contact has this e-mail address.
    pub allow_duplicate: bool,
}

/// Moves a contact to another account, or to none.
#[derive(Clone, Debug)]
pub struct ChangeContactAccount {
    pub contact: ContactId,
    pub account: Option<AccountId>,
}
crate::pending! {
    CreateContact: ContactId, "crm:contact:write";
    ChangeContactDetails: (), "crm:contact:write";
    ChangeContactAccount: (), "crm:contact:write";
}
