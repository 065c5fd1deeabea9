//! How things are to be, for oneself and for all users of the tenant.

use executor::{Command, Work};
use kernel::{Checks, Refusal, UserId};
use user_aggregates::{PREFERENCES, Preference, PreferenceValue, Preferences, PreferencesCommand};
use uuid::Uuid;

use crate::profile::oneself;

/// Says how something is to be for the caller.
#[derive(Clone, Debug)]
pub struct ChooseOwnPreference {
    pub key: String,
    pub value: PreferenceValue,
}

/// Lets something be for the caller as it is for all.
#[derive(Clone, Debug)]
pub struct ResetOwnPreference {
    pub key: String,
}

/// Says how something is to be for users who do not say otherwise.
#[derive(Clone, Debug)]
pub struct ChooseTenantPreference {
    pub key: String,
    pub value: PreferenceValue,
}

/// Lets something be as the platform has it.
#[derive(Clone, Debug)]
pub struct ResetTenantPreference {
    pub key: String,
}

/// Refuses a key that there is not, and a value that it can't have.
fn chosen(key: &str, value: &PreferenceValue) -> Result<PreferencesCommand, Refusal> {
    let preference = known(key)?;
    if !preference.allows(value) {
        let mut checks = Checks::default();
        checks.refuse("/value", "preference_value", format!("{key} is {}", preference.allowed()));
        checks.finish()?;
    }
    Ok(PreferencesCommand::Choose { key: key.to_owned(), value: value.clone() })
}

fn known(key: &str) -> Result<&'static Preference, Refusal> {
    Preference::of(key).ok_or_else(|| {
        let keys: Vec<_> = PREFERENCES.iter().map(|preference| preference.key).collect();
        let mut checks = Checks::default();
        checks.refuse(
            "/key",
            "preference_unknown",
            format!("there is no preference with this key; allowed are {}", keys.join(", ")),
        );
        Refusal::fields(checks.into_errors())
    })
}

/// Preferences begin with the first that is chosen; where there are none, there is nothing to reset.
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
        let user = existing(work).await?;
        ask(work, user.uuid(), command).await?;
        Ok(user)
    }
}

impl Command for ResetOwnPreference {
    const PERMISSION: &'static str = "user:self:write";
    type Answer = UserId;

    async fn run(&self, work: &mut Work<'_>) -> Result<UserId, Refusal> {
        known(&self.key)?;
        let user = existing(work).await?;
        ask(work, user.uuid(), PreferencesCommand::Reset { key: self.key.clone() }).await?;
        Ok(user)
    }
}

/// The caller, who is a user of the tenant.
async fn existing(work: &mut Work<'_>) -> Result<UserId, Refusal> {
    let user = oneself(work)?;
    work.read::<user_aggregates::User>(user).await?;
    Ok(user)
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
