//! Preferences: of the caller, and the tenant's defaults.

use executor::{Command, Work};
use kernel::{Refusal, UserId};
use user_aggregates::{PREFERENCES, Preference, PreferenceValue, Preferences, PreferencesCommand};
use uuid::Uuid;

use crate::profile::existing_caller;

/// Sets a preference of the caller.
#[derive(Clone, Debug)]
pub struct ChooseOwnPreference {
    pub key: String,
    pub value: PreferenceValue,
}

/// Resets a preference of the caller to the tenant's default.
#[derive(Clone, Debug)]
pub struct ResetOwnPreference {
    pub key: String,
}

/// Sets a default of the tenant, for users without a preference of their own.
#[derive(Clone, Debug)]
pub struct ChooseTenantPreference {
    pub key: String,
    pub value: PreferenceValue,
}

/// Resets a default of the tenant to the platform's default.
#[derive(Clone, Debug)]
pub struct ResetTenantPreference {
    pub key: String,
}

/// Refuses an unknown key or a value that the key does not allow.
fn chosen(key: &str, value: &PreferenceValue) -> Result<PreferencesCommand, Refusal> {
    let preference = known(key)?;
    if !preference.allows(value) {
        return Err(Refusal::field("/value", "preference_value", format!("{key} is {}", preference.allowed())));
    }
    Ok(PreferencesCommand::Choose { key: key.to_owned(), value: value.clone() })
}

fn known(key: &str) -> Result<&'static Preference, Refusal> {
    Preference::of(key).ok_or_else(|| {
        let keys: Vec<_> = PREFERENCES.iter().map(|preference| preference.key).collect();
        let detail = format!("there is no preference with this key; allowed are {}", keys.join(", "));
        Refusal::field("/key", "preference_unknown", detail)
    })
}

/// The stream of preferences begins with the first one that is set; without it, there is nothing to reset.
async fn ask(work: &mut Work<'_>, of: Uuid, command: PreferencesCommand) -> Result<(), Refusal> {
    if matches!(command, PreferencesCommand::Reset { .. }) && work.find::<Preferences>(of).await?.is_none() {
        return Ok(());
    }
    work.upsert::<Preferences>(of, command).await
}

impl Command for ChooseOwnPreference {
    const PERMISSION: &'static str = "user:self:write";
    type Answer = UserId;

    async fn run(&self, work: &mut Work<'_>) -> Result<UserId, Refusal> {
        let command = chosen(&self.key, &self.value)?;
        let user = existing_caller(work).await?;
        ask(work, user.uuid(), command).await?;
        Ok(user)
    }
}

impl Command for ResetOwnPreference {
    const PERMISSION: &'static str = "user:self:write";
    type Answer = UserId;

    async fn run(&self, work: &mut Work<'_>) -> Result<UserId, Refusal> {
        known(&self.key)?;
        let user = existing_caller(work).await?;
        ask(work, user.uuid(), PreferencesCommand::Reset { key: self.key.clone() }).await?;
        Ok(user)
    }
}

impl Command for ChooseTenantPreference {
    const PERMISSION: &'static str = "user:preference:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let command = chosen(&self.key, &self.value)?;
        ask(work, work.caller().tenant().uuid(), command).await
    }
}

impl Command for ResetTenantPreference {
    const PERMISSION: &'static str = "user:preference:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        known(&self.key)?;
        ask(work, work.caller().tenant().uuid(), PreferencesCommand::Reset { key: self.key.clone() }).await
    }
}
