//! The commands of an account's passkeys.

use auth_aggregates::{Account, AccountCommand, Jwk, PasskeyEnrolled, PasskeyRemoved, PasskeyRenamed, PasskeyUsed};
use executor::{ClaimKind, Command, Work};
use kernel::{Checks, Refusal, UserId};

use crate::grants::PROTOCOL;
use crate::lengths;
use crate::session::Within;

/// Claims on the credential ids of passkeys: each belongs to one user.
pub(crate) const PASSKEY: ClaimKind = ClaimKind {
    name: "auth.account.passkey",
    code: "passkey_taken",
    detail: "a passkey with this id is already registered; create another one",
};

/// Registers a passkey, which the user has just used.
#[derive(Clone, Debug)]
pub struct EnrolPasskey {
    pub user: UserId,
    /// The session or sign-in in which the user registers it.
    pub within: Within,
    /// The id of its credential, base64url.
    pub passkey: String,
    /// The user's name for it.
    pub name: String,
    pub key: Jwk,
    pub counter: u32,
    /// Whether it can be synchronized between devices (backup eligible).
    pub synced: bool,
    /// The challenge that it signed, base64url.
    pub challenge: String,
    /// The hashes of new recovery codes; empty: the existing ones stay valid.
    pub recovery: Vec<String>,
}

/// Records an authentication with a passkey.
#[derive(Clone, Debug)]
pub struct ShowPasskey {
    pub user: UserId,
    pub passkey: String,
    pub counter: u32,
    /// The challenge that it signed, base64url.
    pub challenge: String,
}

/// Renames a passkey.
#[derive(Clone, Debug)]
pub struct RenamePasskey {
    pub user: UserId,
    pub passkey: String,
    pub name: String,
}

/// Removes a passkey.
#[derive(Clone, Debug)]
pub struct RemovePasskey {
    pub user: UserId,
    pub passkey: String,
}

impl Command for EnrolPasskey {
    const PERMISSION: &'static str = PROTOCOL;
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let name = name(&self.name)?;
        self.within.require_valid(work, self.user).await?;
        let enrolled = PasskeyEnrolled {
            passkey: self.passkey.clone(),
            name: name.into(),
            key: self.key.clone(),
            counter: self.counter,
            synced: self.synced,
            challenge: self.challenge.clone(),
            at: work.now(),
        };
        work.take(&PASSKEY, &self.passkey, self.user);
        let enrol = AccountCommand::EnrolPasskey { enrolled: Box::new(enrolled), recovery: self.recovery.clone() };
        work.upsert::<Account>(self.user, enrol).await
    }
}

impl Command for ShowPasskey {
    const PERMISSION: &'static str = PROTOCOL;
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let (passkey, challenge) = (self.passkey.clone(), self.challenge.clone());
        let shown = PasskeyUsed { passkey, counter: self.counter, challenge, at: work.now() };
        work.update::<Account>(self.user, AccountCommand::ShowPasskey(shown)).await
    }
}

impl Command for RenamePasskey {
    const PERMISSION: &'static str = PROTOCOL;
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let name = name(&self.name)?.into();
        let renamed = PasskeyRenamed { passkey: self.passkey.clone(), name };
        work.update::<Account>(self.user, AccountCommand::RenamePasskey(renamed)).await
    }
}

impl Command for RemovePasskey {
    const PERMISSION: &'static str = PROTOCOL;
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        work.release(&PASSKEY, &self.passkey, self.user);
        let removed = PasskeyRemoved { passkey: self.passkey.clone() };
        work.update::<Account>(self.user, AccountCommand::RemovePasskey(removed)).await
    }
}

/// Releases the claims on all passkeys of a user before they are removed.
pub(crate) async fn release_all(work: &mut Work<'_>, user: UserId) -> Result<(), Refusal> {
    let Some(account) = work.find::<Account>(&user.to_string()).await? else { return Ok(()) };
    for passkey in account.passkeys.by_id.keys() {
        work.release(&PASSKEY, passkey, user);
    }
    Ok(())
}

fn name(text: &str) -> Result<String, Refusal> {
    let mut checks = Checks::default();
    let name = checks.line("/name", text, lengths::PASSKEY_NAME);
    checks.finish()?;
    Ok(name)
}
