//! What can be asked of an account's passkeys.

use std::ops::RangeInclusive;

use auth_aggregates::{Account, AccountCommand, Jwk, PasskeyEnrolled, PasskeyRemoved, PasskeyRenamed, PasskeyUsed};
use executor::{ClaimKind, Command, Work};
use kernel::{Checks, Refusal, UserId};

use crate::grants::PROTOCOL;
use crate::session::Within;

/// Credentials of passkeys: each is one person's.
pub(crate) const PASSKEY: ClaimKind = ClaimKind {
    name: "auth.account.passkey",
    code: "passkey_taken",
    detail: "a passkey with this id is already registered; create another one",
};

/// How long a passkey's name may be.
const NAME: RangeInclusive<usize> = 1..=100;

/// A person may show a passkey from now on, and showed it.
#[derive(Clone, Debug)]
pub struct EnrolPasskey {
    pub user: UserId,
    /// In what they make it.
    pub within: Within,
    /// The id of its credential, base64url.
    pub passkey: String,
    /// What they call it.
    pub name: String,
    pub key: Jwk,
    pub counter: u32,
    /// Whether it may be copied from device to device.
    pub synced: bool,
    /// The challenge that it signed, base64url.
    pub challenge: String,
    /// The hashes of their recovery codes; none: those that are there stay.
    pub recovery: Vec<String>,
}

/// A person showed a passkey.
#[derive(Clone, Debug)]
pub struct ShowPasskey {
    pub user: UserId,
    pub passkey: String,
    pub counter: u32,
    /// The challenge that it signed, base64url.
    pub challenge: String,
}

/// A person calls a passkey otherwise.
#[derive(Clone, Debug)]
pub struct RenamePasskey {
    pub user: UserId,
    pub passkey: String,
    pub name: String,
}

/// A person does without a passkey.
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
        self.within.stands(work, self.user).await?;
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

/// Gives back the claims to all passkeys of a person: they are about to be removed.
pub(crate) async fn release_all(work: &mut Work<'_>, user: UserId) -> Result<(), Refusal> {
    let Some(account) = work.find::<Account>(&user.to_string()).await? else { return Ok(()) };
    for passkey in account.passkeys.by_id.keys() {
        work.release(&PASSKEY, passkey, user);
    }
    Ok(())
}

fn name(text: &str) -> Result<String, Refusal> {
    let mut checks = Checks::default();
    let name = checks.line("/name", text, NAME);
    checks.finish()?;
    Ok(name)
}
