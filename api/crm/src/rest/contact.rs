//! Contacts: add, change, move to another account, hand over.

use chrono::{DateTime, Utc};
use crm_aggregates::{AccountId, Contact, LeadId};
use crm_commands::{ChangeContactAccount, ChangeContactDetails, ContactFields, CreateContact, ReassignContact};
use executor::Current;
use face::{Authenticated, Command, Example, NewPostalAddress, Runtime, example};
use kernel::PostalAddress;
use poem_openapi::OpenApi;
use poem_openapi::param::Path;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Tag;
use super::assignment::Assignment;
use super::form;
use super::lead::shown;
use face::operation::{ChangeResult, CreateResult, ReadResult, change, create, find_current, id};

/// The operations on contacts.
pub struct Contacts {
    runtime: Runtime,
}

impl Contacts {
    pub fn new(runtime: Runtime) -> Self {
        Self { runtime }
    }
}

/// A new contact.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"name": "Ada Lovelace", "title": "Countess", "email": "ada@example.com", "phone": "+442071234567", "address": {"street": "12 St James's Square", "locality": "London", "postal_code": "SW1Y 4JH", "country": "GB"}}))]
struct NewContact {
    /// Full name.
    #[schemars(with = "form::Name")]
    name: String,
    /// Job title at their account.
    #[serde(default)]
    #[schemars(with = "Option<form::Name>")]
    title: Option<String>,
    /// E-mail address, unique among contacts unless `allow_duplicate` is true.
    #[serde(default)]
    #[schemars(with = "Option<form::Email>")]
    email: Option<String>,
    /// Telephone number in international format, such as +4930123456.
    #[serde(default)]
    #[schemars(with = "Option<form::Phone>")]
    phone: Option<String>,
    /// Postal address.
    #[serde(default)]
    address: Option<NewPostalAddress>,
    /// The account to which they belong.
    #[serde(default)]
    account: Option<AccountId>,
    /// The responsible user, as the subject of their token. An id of nobody who can sign in now is refused (`cannot_sign_in`).
    #[serde(default)]
    #[schemars(with = "Option<form::Subject>")]
    owner: Option<String>,
    /// Save the contact even if another contact has this e-mail address.
    #[serde(default)]
    allow_duplicate: bool,
}

/// All details of a contact. Omitted fields are cleared.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"name": "Ada Lovelace", "title": "Countess", "email": "ada@example.com"}))]
struct NewContactDetails {
    /// Full name.
    #[schemars(with = "form::Name")]
    name: String,
    /// Job title at their account.
    #[serde(default)]
    #[schemars(with = "Option<form::Name>")]
    title: Option<String>,
    /// E-mail address, unique among contacts unless `allow_duplicate` is true.
    #[serde(default)]
    #[schemars(with = "Option<form::Email>")]
    email: Option<String>,
    /// Telephone number in international format, such as +4930123456.
    #[serde(default)]
    #[schemars(with = "Option<form::Phone>")]
    phone: Option<String>,
    /// Postal address.
    #[serde(default)]
    address: Option<NewPostalAddress>,
    /// Save the contact even if another contact has this e-mail address.
    #[serde(default)]
    allow_duplicate: bool,
}

/// The account to which a contact belongs.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"account": "0197a8a0-0000-7000-8000-000000000001"}))]
struct NewContactAccount {
    /// The account, or null for none.
    #[serde(deserialize_with = "face::nullable")]
    #[schemars(with = "face::Nullable<AccountId>")]
    account: Option<AccountId>,
}

/// A contact.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Contact")]
struct ContactResource {
    /// Its id.
    id: Uuid,
    /// Full name. Empty if the contact was erased.
    name: String,
    /// Job title at their account.
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    /// E-mail address, lower case.
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    /// Telephone number in E.164 format.
    #[serde(skip_serializing_if = "Option::is_none")]
    phone: Option<String>,
    /// Postal address.
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<PostalAddress>,
    /// The account to which they belong.
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<Uuid>,
    /// The responsible user, as the subject of their token.
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    /// The lead that was converted into it.
    #[serde(skip_serializing_if = "Option::is_none")]
    lead: Option<Uuid>,
    /// Further leads that were converted into this contact later.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    leads: Vec<Uuid>,
    /// Whether their personal data was erased.
    erased: bool,
    /// When it was created.
    created_at: DateTime<Utc>,
    /// When it last changed.
    changed_at: DateTime<Utc>,
}

impl Example for ContactResource {
    fn example() -> Self {
        Self {
            id: example::id(3),
            name: "Grace Hopper".to_owned(),
            title: Some("Programmer".to_owned()),
            email: Some("grace@example.com".to_owned()),
            phone: Some("+12025550123".to_owned()),
            address: Some(example::postal_address()),
            account: Some(example::id(2)),
            owner: Some("ada".to_owned()),
            lead: Some(example::id(1)),
            leads: Vec::new(),
            erased: false,
            created_at: example::time(1),
            changed_at: example::time(5),
        }
    }
}

#[OpenApi(tag = "Tag::Contacts")]
impl Contacts {
    /// Add a contact
    ///
    /// If another contact has the same e-mail address, the request is refused with `contact_email_taken`, unless
    /// `allow_duplicate` is true. Needs the permission `crm:contact:write`.
    #[oai(path = "/v1/crm/contacts", method = "post", operation_id = "createContact")]
    async fn create(&self, command: Command<NewContact>) -> CreateResult {
        let NewContact { name, title, email, phone, address, account, owner, allow_duplicate } = command.body;
        let details = ContactFields { name, title, email, phone, address: address.map(Into::into) };
        let contact = CreateContact { details, account, owner, allow_duplicate };
        create(&self.runtime, &command.request, "contacts", contact, |id| id.uuid()).await
    }

    /// Get a contact's current state
    ///
    /// Needs the permission `crm:contact:read`.
    #[oai(path = "/v1/crm/contacts/:contact", method = "get", operation_id = "getContact")]
    async fn get(&self, Authenticated(caller): Authenticated, contact: Path<Uuid>) -> ReadResult<ContactResource> {
        find_current(&self.runtime, &caller, "crm:contact:read", contact.0, |found: &Current<Contact>| {
            let state = &*found.state;
            ContactResource {
                id: contact.0,
                name: state.details.name.reveal().clone(),
                title: state.details.title.clone(),
                email: shown(state.details.email.as_ref()),
                phone: shown(state.details.phone.as_ref()),
                address: shown(state.details.address.as_ref()),
                account: state.account.map(AccountId::uuid),
                owner: state.owner.clone(),
                lead: state.lead.map(LeadId::uuid),
                leads: state.leads.iter().copied().map(LeadId::uuid).collect(),
                erased: state.erased,
                created_at: found.created_at,
                changed_at: found.changed_at,
            }
        })
        .await
    }

    /// Replace a contact's details
    ///
    /// Omitted fields are cleared. Needs the permission `crm:contact:write`.
    #[oai(path = "/v1/crm/contacts/:contact/change-details", method = "post", operation_id = "changeContactDetails")]
    async fn change_details(&self, command: Command<NewContactDetails>, contact: Path<Uuid>) -> ChangeResult {
        let NewContactDetails { name, title, email, phone, address, allow_duplicate } = command.body;
        let details = ContactFields { name, title, email, phone, address: address.map(Into::into) };
        let changed = ChangeContactDetails { contact: id(&contact), details, allow_duplicate };
        change(&self.runtime, &command.request, contact.0, changed).await
    }

    /// Move a contact to another account or to none
    ///
    /// Needs the permission `crm:contact:write`.
    #[oai(path = "/v1/crm/contacts/:contact/change-account", method = "post", operation_id = "changeContactAccount")]
    async fn change_account(&self, command: Command<NewContactAccount>, contact: Path<Uuid>) -> ChangeResult {
        let changed = ChangeContactAccount { contact: id(&contact), account: command.body.account };
        change(&self.runtime, &command.request, contact.0, changed).await
    }

    /// Assign a contact to another user
    ///
    /// Needs the permission `crm:contact:write`.
    #[oai(path = "/v1/crm/contacts/:contact/reassign", method = "post", operation_id = "reassignContact")]
    async fn reassign(&self, command: Command<Assignment>, contact: Path<Uuid>) -> ChangeResult {
        let reassign = ReassignContact { contact: id(&contact), owner: command.body.owner };
        change(&self.runtime, &command.request, contact.0, reassign).await
    }
}
