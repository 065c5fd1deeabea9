//! The commands of an account's authenticator app (TOTP) and recovery codes, and of all its second factors together.

use auth_aggregates::{Account, AccountCommand};
use executor::{Command, Work};
use kernel::{Refusal, UserId};
use keys::Sealed;

use crate::grants::PROTOCOL;
use crate::passkey::release_all;
use crate::reach::Reach;
use crate::session::Within;

/// Registers an authenticator, of which the user has just entered a code.
#[derive(Clone, Debug)]
pub struct EnrolTotp {
    pub user: UserId,
    /// The session or sign-in in which the user registers it.
    pub within: Within,
    /// The TOTP secret, encrypted.
    pub secret: Sealed,
    /// The TOTP time step of the code that the user entered.
    pub step: u64,
    /// The hashes of their recovery codes.
    pub recovery: Vec<String>,
}

/// Records an authentication with a TOTP code.
#[derive(Clone, Copy, Debug)]
pub struct UseTotp {
    pub user: UserId,
    pub step: u64,
}

/// Records an authentication with a recovery code.
#[derive(Clone, Debug)]
pub struct UseRecoveryCode {
    pub user: UserId,
    pub hash: String,
}

/// Removes the authenticator.
#[derive(Clone, Copy, Debug)]
pub struct RemoveTotp {
    pub user: UserId,
}

/// Removes all second factors of a user who lost them, by an administrator.
#[derive(Clone, Debug)]
pub struct ResetSecondFactor {
    pub user: UserId,
    pub reach: Reach,
}

/// Replaces the recovery codes.
#[derive(Clone, Debug)]
pub struct SetRecoveryCodes {
    pub user: UserId,
    pub hashes: Vec<String>,
}

impl Command for EnrolTotp {
    const PERMISSION: &'static str = PROTOCOL;
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        self.within.require_valid(work, self.user).await?;
        let enrol =
            AccountCommand::EnrolTotp { secret: self.secret.clone(), step: self.step, recovery: self.recovery.clone() };
        work.upsert::<Account>(self.user, enrol).await
    }
}

impl Command for UseTotp {
    const PERMISSION: &'static str = PROTOCOL;
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        work.update::<Account>(self.user, AccountCommand::UseTotp { step: self.step }).await
    }
}

impl Command for UseRecoveryCode {
    const PERMISSION: &'static str = PROTOCOL;
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        work.update::<Account>(self.user, AccountCommand::UseRecoveryCode { hash: self.hash.clone() }).await
    }
}

impl Command for RemoveTotp {
    const PERMISSION: &'static str = PROTOCOL;
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        work.update::<Account>(self.user, AccountCommand::RemoveTotp).await
    }
}

impl Command for ResetSecondFactor {
    const PERMISSION: &'static str = "auth:account:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        self.reach.over_user(work.caller(), self.user).await?;
        release_all(work, self.user).await?;
        work.update::<Account>(self.user, AccountCommand::RemoveSecondFactors).await
    }
}

impl Command for SetRecoveryCodes {
    const PERMISSION: &'static str = PROTOCOL;
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        work.update::<Account>(self.user, AccountCommand::SetRecoveryCodes { hashes: self.hashes.clone() }).await
    }
}
