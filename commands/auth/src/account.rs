//! The commands of accounts.

use std::sync::Arc;

use auth_aggregates::{Account, AccountCommand, By, Client, ClientId};
use executor::{Command, Work, not_found};
use kernel::{Refusal, UserId};
use keys::Sealed;

use crate::grants::PROTOCOL;
use crate::passkey::release_all;
use crate::reach::Reach;

/// Sets a user's password. Only the encrypted hash is passed in.
#[derive(Clone, Debug)]
pub struct SetPassword {
    pub user: UserId,
    pub password: Sealed,
    /// What authorizes the change.
    pub by: By,
    /// Whether all of the user's sessions end.
    pub end_sessions: bool,
}

/// Mails the user a link to set a new password.
#[derive(Clone, Debug)]
pub struct RequestPasswordReset {
    pub user: UserId,
}

/// As [`RequestPasswordReset`], by an administrator for an existing user.
#[derive(Clone, Debug)]
pub struct SendPasswordLink {
    pub user: UserId,
    /// Whether the user's e-mail address is verified.
    pub email_verified: bool,
}

/// Ends all sessions of a user and revokes the grants made in them.
#[derive(Clone, Debug)]
pub struct EndSessions {
    pub user: UserId,
    /// The reason code: `locked`, `deactivated`, `roles_changed` …
    pub reason: String,
    pub reach: Reach,
}

/// Takes the place of an [`EndSessions`] that somebody else is about to execute under the same command id: they get this command's answer, and
/// end nothing.
#[derive(Clone, Debug)]
pub struct ForestallEnding {
    pub user: UserId,
    /// The reason code with which all sessions end now, and the grants made in them. None: nothing ends, because it has just ended.
    pub reason: Option<String>,
}

/// As [`EndSessions`], by the user themselves.
#[derive(Clone, Debug)]
pub struct EndOwnSessions {
    pub user: UserId,
}

/// Closes an account permanently: ends its sessions, revokes their grants, and removes its password.
#[derive(Clone, Debug)]
pub struct CloseAccount {
    pub user: UserId,
}

/// As [`CloseAccount`], and erases the personal data.
#[derive(Clone, Debug)]
pub struct EraseAccount {
    pub user: UserId,
}

/// Records a user's consent to a client.
#[derive(Clone, Debug)]
pub struct GiveConsent {
    pub user: UserId,
    pub client: ClientId,
    pub scope: Vec<String>,
}

/// Withdraws a user's consent to a client.
#[derive(Clone, Debug)]
pub struct WithdrawConsent {
    pub user: UserId,
    pub client: ClientId,
}

/// As [`WithdrawConsent`], by an administrator.
#[derive(Clone, Debug)]
pub struct RevokeConsent {
    pub user: UserId,
    pub client: ClientId,
    pub reach: Reach,
}

/// The account of a user, on which the command [relies](Work::rely). An account without events is returned as the default state.
pub(crate) async fn account_of(work: &mut Work<'_>, user: UserId) -> Result<Arc<Account>, Refusal> {
    Ok(work.rely::<Account>(user).await?.unwrap_or_default())
}

impl Command for SetPassword {
    const PERMISSION: &'static str = PROTOCOL;
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let set = AccountCommand::SetPassword { password: self.password.clone(), by: self.by.clone() };
        work.upsert::<Account>(self.user, set).await?;
        if self.end_sessions {
            let end = AccountCommand::EndSessions { at: work.now(), reason: "password_set".to_owned() };
            work.upsert::<Account>(self.user, end).await?;
        }
        Ok(())
    }
}

impl Command for RequestPasswordReset {
    const PERMISSION: &'static str = PROTOCOL;
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let at = kernel::to_micros(work.now());
        work.upsert::<Account>(self.user, AccountCommand::RequestReset { at }).await
    }
}

impl Command for SendPasswordLink {
    const PERMISSION: &'static str = "auth:account:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let account = work.find::<Account>(self.user).await?;
        if account.is_some_and(|account| !account.closed && !account.opens_by_mail(self.email_verified)) {
            let detail = "the user has signed in before and their e-mail address is not verified, so it may be somebody else's; they have to sign in and verify it, or their address has to be corrected";
            return Err(Refusal::conflict("email_not_verified", detail));
        }
        // A user who never signed in has no account yet.
        let at = kernel::to_micros(work.now());
        work.upsert::<Account>(self.user, AccountCommand::RequestReset { at }).await
    }
}

impl Command for EndSessions {
    const PERMISSION: &'static str = "auth:session:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        self.reach.over_user(work.caller(), self.user).await?;
        let end = AccountCommand::EndSessions { at: work.now(), reason: self.reason.clone() };
        work.update::<Account>(self.user, end).await
    }
}

impl Command for ForestallEnding {
    const PERMISSION: &'static str = PROTOCOL;
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let Some(reason) = self.reason.clone() else { return Ok(()) };
        // A user without an account, or with a closed one, has no sessions. It is no refusal, because a refused command keeps no id.
        if work.rely::<Account>(self.user).await?.is_none_or(|account| account.closed) {
            return Ok(());
        }
        let end = AccountCommand::EndSessions { at: work.now(), reason };
        work.update::<Account>(self.user, end).await
    }
}

impl Command for EndOwnSessions {
    const PERMISSION: &'static str = PROTOCOL;
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let end = AccountCommand::EndSessions { at: work.now(), reason: "by_the_person".to_owned() };
        work.update::<Account>(self.user, end).await
    }
}

impl Command for CloseAccount {
    const PERMISSION: &'static str = "auth:account:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let at = work.now();
        release_all(work, self.user).await?;
        work.upsert::<Account>(self.user, AccountCommand::Close { at }).await
    }
}

impl Command for EraseAccount {
    const PERMISSION: &'static str = "auth:account:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let at = work.now();
        // An account is erased even if some of its events can't be decoded.
        work.load_lossy::<Account>(self.user).await?;
        release_all(work, self.user).await?;
        work.upsert::<Account>(self.user, AccountCommand::Erase { at }).await
    }
}

impl Command for GiveConsent {
    const PERMISSION: &'static str = PROTOCOL;
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let consent = AccountCommand::Consent { client: self.client, scope: self.scope.clone() };
        work.upsert::<Account>(self.user, consent).await
    }
}

impl Command for WithdrawConsent {
    const PERMISSION: &'static str = PROTOCOL;
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let at = work.now();
        work.upsert::<Account>(self.user, AccountCommand::Withdraw { client: self.client, at }).await
    }
}

impl Command for RevokeConsent {
    const PERMISSION: &'static str = "auth:grant:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        self.reach.over_user(work.caller(), self.user).await?;
        let at = work.now();
        work.update::<Account>(self.user, AccountCommand::Withdraw { client: self.client, at }).await?;
        // Withdrawing a consent that was never given changes nothing, but an unknown client is refused.
        if work.find::<Client>(self.client).await?.is_some() {
            return Ok(());
        }
        Err(not_found::<Client>(&self.client.to_string()))
    }
}
