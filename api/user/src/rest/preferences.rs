//! Preferences: the platform's and the tenant's defaults, and the caller's own choices.

use face::operation::{ChangeResult, Target};
use face::{Authenticated, Changed, Command, Example, Plain, Problem};
use kernel::Caller;
use poem_openapi::OpenApi;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use user_aggregates::{PREFERENCES, PreferenceValue, Preferences as State};
use user_commands::{ChooseOwnPreference, ChooseTenantPreference, ResetOwnPreference, ResetTenantPreference};
use uuid::Uuid;

use super::me::oneself;
use super::{Service, Tag, form};
use crate::SERVICE;

/// Operations on preferences.
pub struct Preferences {
    service: Service,
}

/// A choice for a preference.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"key": "theme", "value": "dark"}))]
struct Choice {
    /// Key of the preference, one of those that are listed.
    #[schemars(with = "form::PreferenceKey")]
    key: String,
    /// Value, of the preference's type.
    #[schemars(with = "form::PreferenceValue")]
    value: PreferenceValue,
}

/// A preference to be reset.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"key": "theme"}))]
struct PreferenceKey {
    /// Key of the preference, one of those that are listed.
    #[schemars(with = "form::PreferenceKey")]
    key: String,
}

/// Who set a preference's value.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum ChosenBy {
    /// Nobody: it is the platform's default.
    Platform,
    /// The tenant, as the default of its users.
    Tenant,
    /// The user.
    User,
}

/// A preference and its value.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Preference")]
struct Shown {
    /// Key of the preference.
    key: &'static str,
    /// Current value.
    #[schemars(with = "form::PreferenceValue")]
    value: PreferenceValue,
    /// Who set the value.
    chosen_by: ChosenBy,
    /// Allowed values, as text.
    allowed: String,
    /// What the preference is for, as text.
    meaning: &'static str,
}

/// All preferences.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Preferences")]
struct List {
    /// Preferences, in the order in which they should be displayed.
    preferences: Vec<Shown>,
}

impl Preferences {
    pub(super) fn new(service: Service) -> Self {
        Self { service }
    }

    async fn state(&self, caller: &Caller, of: Uuid) -> Result<State, Problem> {
        let found = self.service.runtime.executor.load::<State>(caller, &of.to_string()).await?;
        Ok(found.map(|(state, _)| (*state).clone()).unwrap_or_default())
    }

    /// All preferences of a user, or the defaults of the tenant.
    async fn list(&self, caller: &Caller, user: Option<Uuid>) -> Result<Plain<List>, Problem> {
        let of_tenant = self.state(caller, caller.tenant().uuid()).await?;
        let of_user = match user {
            Some(user) => self.state(caller, user).await?,
            None => State::default(),
        };
        Ok(Plain(List::of(&of_user, &of_tenant)))
    }
}

impl List {
    /// The preferences that result from the choices of a user and their tenant and the platform's defaults.
    fn of(of_user: &State, of_tenant: &State) -> Self {
        let shown = PREFERENCES.iter().map(|preference| {
            let (value, chosen_by) = match (of_user.get(preference), of_tenant.get(preference)) {
                (Some(value), _) => (value.clone(), ChosenBy::User),
                (None, Some(value)) => (value.clone(), ChosenBy::Tenant),
                (None, None) => (preference.otherwise(), ChosenBy::Platform),
            };
            let (key, meaning) = (preference.key, preference.meaning);
            Shown { key, value, chosen_by, allowed: preference.allowed(), meaning }
        });
        Self { preferences: shown.collect() }
    }
}

impl Example for List {
    fn example() -> Self {
        Self::of(&State::default(), &State::default())
    }
}

#[OpenApi(tag = "Tag::Preferences")]
impl Preferences {
    /// List the caller's preferences
    ///
    /// Needs the permission `user:self:write`.
    #[oai(path = "/v1/user/me/preferences", method = "get", operation_id = "getMyPreferences")]
    async fn own(&self, Authenticated(caller): Authenticated) -> Result<Plain<List>, Problem> {
        let user = oneself(&caller)?;
        self.list(&caller, Some(user.uuid())).await
    }

    /// Set one of the caller's preferences
    ///
    /// Needs the permission `user:self:write`.
    #[oai(path = "/v1/user/me/preferences/choose", method = "post", operation_id = "chooseMyPreference")]
    async fn choose_own(&self, command: Command<Choice>) -> ChangeResult {
        let Choice { key, value } = command.body;
        let choose = ChooseOwnPreference { key, value };
        let done = self.service.runtime.executor.execute(&command.request, &choose).await?;
        Ok(Changed::new(SERVICE, done, |user| Target { id: user.uuid() }))
    }

    /// Reset one of the caller's preferences to the default
    ///
    /// Needs the permission `user:self:write`.
    #[oai(path = "/v1/user/me/preferences/reset", method = "post", operation_id = "resetMyPreference")]
    async fn reset_own(&self, command: Command<PreferenceKey>) -> ChangeResult {
        let reset = ResetOwnPreference { key: command.body.key };
        let done = self.service.runtime.executor.execute(&command.request, &reset).await?;
        Ok(Changed::new(SERVICE, done, |user| Target { id: user.uuid() }))
    }

    /// List the tenant's default preferences
    ///
    /// Needs the permission `user:preference:read`.
    #[oai(path = "/v1/user/preferences", method = "get", operation_id = "getTenantPreferences")]
    async fn of_tenant(&self, Authenticated(caller): Authenticated) -> Result<Plain<List>, Problem> {
        caller.require("user:preference:read")?;
        self.list(&caller, None).await
    }

    /// Set a default preference of the tenant
    ///
    /// Needs the permission `user:preference:write`.
    #[oai(path = "/v1/user/preferences/choose", method = "post", operation_id = "chooseTenantPreference")]
    async fn choose_of_tenant(&self, command: Command<Choice>) -> ChangeResult {
        let Choice { key, value } = command.body;
        let tenant = command.request.caller.tenant().uuid();
        let choose = ChooseTenantPreference { key, value };
        face::operation::change(&self.service.runtime, &command.request, tenant, choose).await
    }

    /// Reset a preference of the tenant to the platform's default
    ///
    /// Needs the permission `user:preference:write`.
    #[oai(path = "/v1/user/preferences/reset", method = "post", operation_id = "resetTenantPreference")]
    async fn reset_of_tenant(&self, command: Command<PreferenceKey>) -> ChangeResult {
        let tenant = command.request.caller.tenant().uuid();
        let reset = ResetTenantPreference { key: command.body.key };
        face::operation::change(&self.service.runtime, &command.request, tenant, reset).await
    }
}
