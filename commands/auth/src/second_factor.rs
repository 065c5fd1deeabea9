//! What can be asked of an account's authenticator and recovery codes, and of all its second factors.

use auth_aggregates::{Account, AccountCommand};
use executor::{Command, Work};
use kernel::{Refusal, UserId};
use keys::Sealed;

use crate::grants::PROTOCOL;
use crate::passkey::release_all;
use crate::reach::Reach;
use crate::session::Within;

/// A person has an authenticator from now on, and showed a code of it.
#[derive(Clone, Debug)]
pub struct EnrolTotp {
    pub user: UserId,
    /// In what they do.
    pub within: Within,
    /// What its codes are made of, sealed.
    pub secret: Sealed,
    /// The step of the code that they showed.
    pub step: u64,
    /// The hashes of their recovery codes.
    pub recovery: Vec<String>,
}

/// A person showed a code.
#[derive(Clone, Copy, Debug)]
pub struct UseTotp {
    pub user: UserId,
    pub step: u64,
}

/// A person used a recovery code.
#[derive(Clone, Debug)]
pub struct UseRecoveryCode {
    pub user: UserId,
    pub hash: String,
}

/// A person does without an authenticator.
#[derive(Clone, Copy, Debug)]
pub struct RemoveTotp {
    pub user: UserId,
}

/// A person does without any second factor, by who may: they have lost it.
#[derive(Clone, Debug)]
pub struct ResetSecondFactor {
    pub user: UserId,
    pub reach: Reach,
}

/// A person has new recovery codes.
#[derive(Clone, Debug)]
pub struct SetRecoveryCodes {
    pub user: UserId,
    pub hashes: Vec<String>,
}

impl Command for EnrolTotp {
    const PERMISSION: &'static str = PROTOCOL;
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        self.within.stands(work, self.user).await?;
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
