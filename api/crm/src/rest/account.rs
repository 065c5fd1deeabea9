//! Accounts: add, change, hand over.

use chrono::{DateTime, Utc};
use crm_aggregates::{Account, AccountDetails, LeadId};
use crm_commands::{AccountFields, ChangeAccountDetails, CreateAccount, ReassignAccount};
use executor::Current;
use face::{Authenticated, Command, Example, Runtime, example};
use poem_openapi::OpenApi;
use poem_openapi::param::Path;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Tag;
use super::assignment::Assignment;
use super::form;
use face::operation::{ChangeResult, CreateResult, ReadResult, change, create, find_current, id};

/// The operations on accounts.
pub struct Accounts {
    runtime: Runtime,
}

impl Accounts {
    pub fn new(runtime: Runtime) -> Self {
        Self { runtime }
    }
}

/// A new account.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"name": "Analytical Engines Ltd", "website": "https://analytical.example.com", "industry": "Computing", "country": "GB"}))]
struct NewAccount {
    /// Legal or trading name.
    #[schemars(with = "form::Name")]
    name: String,
    /// Web address, `https://…`.
    #[serde(default)]
    #[schemars(with = "Option<form::Website>")]
    website: Option<String>,
    /// Industry, as free text.
    #[serde(default)]
    #[schemars(with = "Option<form::Name>")]
    industry: Option<String>,
    /// ISO 3166-1 alpha-2 country code, such as DE.
    #[serde(default)]
    #[schemars(with = "Option<form::Country>")]
    country: Option<String>,
    /// Number of employees.
    #[serde(default)]
    employees: Option<form::Number<0>>,
    /// The responsible user, as the subject of their token. An id of nobody who can sign in now is refused (`cannot_sign_in`).
    #[serde(default)]
    #[schemars(with = "Option<form::Subject>")]
    owner: Option<String>,
}

/// All details of an account. Omitted fields are cleared.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"name": "Analytical Engines Ltd", "website": "https://analytical.example.com", "country": "GB"}))]
struct NewAccountDetails {
    /// Legal or trading name.
    #[schemars(with = "form::Name")]
    name: String,
    /// Web address, `https://…`.
    #[serde(default)]
    #[schemars(with = "Option<form::Website>")]
    website: Option<String>,
    /// Industry, as free text.
    #[serde(default)]
    #[schemars(with = "Option<form::Name>")]
    industry: Option<String>,
    /// ISO 3166-1 alpha-2 country code, such as DE.
    #[serde(default)]
    #[schemars(with = "Option<form::Country>")]
    country: Option<String>,
    /// Number of employees.
    #[serde(default)]
    employees: Option<form::Number<0>>,
}

/// An account.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Account")]
struct AccountResource {
    /// Its id.
    id: Uuid,
    /// Its details.
    #[serde(flatten)]
    details: AccountDetails,
    /// The responsible user, as the subject of their token.
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    /// The lead that was converted into it.
    #[serde(skip_serializing_if = "Option::is_none")]
    lead: Option<Uuid>,
    /// When it was created.
    created_at: DateTime<Utc>,
    /// When it last changed.
    changed_at: DateTime<Utc>,
}

impl Example for AccountResource {
    fn example() -> Self {
        let details = AccountDetails {
            name: "Eckert-Mauchly".to_owned(),
            website: Some("https://example.com".to_owned()),
            industry: Some("Computers".to_owned()),
            country: Some("US".to_owned()),
            employees: Some(134),
        };
        let (owner, lead) = (Some("ada".to_owned()), Some(example::id(1)));
        let (created_at, changed_at) = (example::time(1), example::time(5));
        Self { id: example::id(2), details, owner, lead, created_at, changed_at }
    }
}

#[OpenApi(tag = "Tag::Accounts")]
impl Accounts {
    /// Add an account
    ///
    /// Needs the permission `crm:account:write`.
    #[oai(path = "/v1/crm/accounts", method = "post", operation_id = "createAccount")]
    async fn create(&self, command: Command<NewAccount>) -> CreateResult {
        let NewAccount { name, website, industry, country, employees, owner } = command.body;
        let employees = employees.map(|employees| employees.0);
        let details = AccountFields { name, website, industry, country, employees };
        create(&self.runtime, &command.request, "accounts", CreateAccount { details, owner }, |id| id.uuid()).await
    }

    /// Get an account's current state
    ///
    /// Needs the permission `crm:account:read`.
    #[oai(path = "/v1/crm/accounts/:account", method = "get", operation_id = "getAccount")]
    async fn get(&self, Authenticated(caller): Authenticated, account: Path<Uuid>) -> ReadResult<AccountResource> {
        find_current(&self.runtime, &caller, "crm:account:read", account.0, |found: &Current<Account>| {
            AccountResource {
                id: account.0,
                details: found.state.details.clone(),
                owner: found.state.owner.clone(),
                lead: found.state.lead.map(LeadId::uuid),
                created_at: found.created_at,
                changed_at: found.changed_at,
            }
        })
        .await
    }

    /// Replace an account's details
    ///
    /// Omitted fields are cleared. Needs the permission `crm:account:write`.
    #[oai(path = "/v1/crm/accounts/:account/change-details", method = "post", operation_id = "changeAccountDetails")]
    async fn change_details(&self, command: Command<NewAccountDetails>, account: Path<Uuid>) -> ChangeResult {
        let NewAccountDetails { name, website, industry, country, employees } = command.body;
        let employees = employees.map(|employees| employees.0);
        let details = AccountFields { name, website, industry, country, employees };
        let changed = ChangeAccountDetails { account: id(&account), details };
        change(&self.runtime, &command.request, account.0, changed).await
    }

    /// Assign an account to another user
    ///
    /// Needs the permission `crm:account:write`.
    #[oai(path = "/v1/crm/accounts/:account/reassign", method = "post", operation_id = "reassignAccount")]
    async fn reassign(&self, command: Command<Assignment>, account: Path<Uuid>) -> ChangeResult {
        let reassign = ReassignAccount { account: id(&account), owner: command.body.owner };
        change(&self.runtime, &command.request, account.0, reassign).await
    }
}
