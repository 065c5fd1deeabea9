//! The state of an account, with `decide` and `evolve`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use chrono::{DateTime, TimeDelta, Utc};
use kernel::{Aggregate, Refusal, SentLinks};
use keys::Sealed;
use serde::{Deserialize, Serialize};

use crate::{
    AccountClosed, AccountEntered, AccountErased, AccountEvent, ClientId, ClientJoined, ConsentGiven, ConsentWithdrawn,
    Listeners, Moment, PasskeyEnrolled, PasskeyRemoved, PasskeyRenamed, PasskeyUsed, Passkeys, PasswordResetRequested,
    PasswordSet, RecoveryCodeUsed, RecoveryCodesSet, SessionId, SessionsEnded, TotpEnrolled, TotpRemoved, TotpUsed,
};

/// An account, as it results from its events.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Account {
    /// The password's hash, encrypted; `None`: there is no password.
    pub password: Option<Sealed>,
    /// Number of requested links to set a password.
    pub resets: u32,
    /// When each valid link expires. All links become invalid when a password is set and when all sessions end, because an older link may
    /// have got into other hands.
    pub links: SentLinks,
    /// The authenticator (TOTP), if one is enrolled.
    pub totp: Option<Totp>,
    /// The enrolled passkeys.
    pub passkeys: Passkeys,
    /// The hashes of the unused recovery codes.
    pub recovery: BTreeSet<String>,
    /// The clients that are notified when sessions end.
    pub listeners: Listeners,
    /// When all sessions last ended: sessions and grants from before are not valid.
    pub ended_at: Option<DateTime<Utc>>,
    /// How often all sessions have ended (see [`Moment`]).
    #[serde(default)]
    pub era: u32,
    /// Whether the account is closed, so that nobody can sign in with it.
    pub closed: bool,
    /// Whether the personal data was erased.
    #[serde(default)]
    pub erased: bool,
    /// Whether the user ever signed in through an identity provider.
    #[serde(default)]
    pub entered: bool,
    /// The scopes to which the user consented, by client.
    pub consents: BTreeMap<ClientId, BTreeSet<String>>,
    /// When the user's consent for a client was last withdrawn: grants from before are not valid.
    pub withdrawn: BTreeMap<ClientId, Moment>,
}

/// An authenticator (TOTP, RFC 6238).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Totp {
    /// The TOTP secret, encrypted.
    pub secret: Sealed,
    /// The time step of the last code that was used: this code and earlier ones are not accepted again.
    pub used: u64,
}

/// What authorizes a user to set a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum By {
    /// They accepted an invitation and have no password yet.
    Invitation,
    /// They used the link with this number, at this time.
    Link { turn: u32, at: DateTime<Utc> },
    /// They entered the old password, whose hash this is. It must still be the current one.
    Password { shown: Sealed },
}

/// Validity of a link to set a password.
pub const RESET_GOOD_FOR: TimeDelta = TimeDelta::hours(1);

/// Minimum time between two mailed links, so that nobody can fill another person's mailbox.
const RESET_PAUSE: TimeDelta = TimeDelta::minutes(10);

/// The commands of an account.
#[derive(Clone, Debug, PartialEq)]
pub enum AccountCommand {
    /// Sets the password.
    SetPassword { password: Sealed, by: By },
    /// Requests a link by mail, unless one was requested a moment ago.
    RequestReset { at: DateTime<Utc> },
    /// Enrolls an authenticator; its codes are required from now on.
    EnrolTotp { secret: Sealed, step: u64, recovery: Vec<String> },
    /// Records the use of a TOTP code, which can't be used again.
    UseTotp { step: u64 },
    /// Removes the authenticator.
    RemoveTotp,
    /// Enrolls a passkey. Without new recovery codes, the existing ones stay valid.
    EnrolPasskey { enrolled: Box<PasskeyEnrolled>, recovery: Vec<String> },
    /// Records an authentication with a passkey; the signed challenge can't be used again.
    ShowPasskey(PasskeyUsed),
    /// Renames a passkey.
    RenamePasskey(PasskeyRenamed),
    /// Removes a passkey.
    RemovePasskey(PasskeyRemoved),
    /// Removes all second factors.
    RemoveSecondFactors,
    /// Replaces the recovery codes.
    SetRecoveryCodes { hashes: Vec<String> },
    /// Records the use of a recovery code, which can't be used again.
    UseRecoveryCode { hash: String },
    /// Registers a client to be notified when a session ends.
    Join { client: ClientId, session: SessionId, at: DateTime<Utc> },
    /// Ends all sessions.
    EndSessions { at: DateTime<Utc>, reason: String },
    /// Records that the user signed in through an identity provider.
    Enter,
    /// As `Enter`, for a user whose e-mail address was not verified until the provider vouched for it. Whoever signed in before may have
    /// been somebody else, so all existing sessions end, and the account must have no password or passkey with which that person could sign
    /// in again. An authenticator is allowed, because it is only asked for in addition.
    TakeOver { at: DateTime<Utc> },
    /// Closes the account.
    Close { at: DateTime<Utc> },
    /// Closes the account and erases the personal data.
    Erase { at: DateTime<Utc> },
    /// Records consent to a client.
    Consent { client: ClientId, scope: Vec<String> },
    /// Withdraws consent to a client.
    Withdraw { client: ClientId, at: DateTime<Utc> },
}

/// Why an account refuses a command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccountError {
    /// The account is closed, which is final.
    #[error("the account is closed")]
    Closed,
    /// The link was already used, has expired, or is not known.
    #[error(
        "this link to set a password has expired, was used, or all sessions were ended since it was sent; ask for a new one"
    )]
    LinkUsed,
    /// Another password was set after the old one was verified.
    #[error("the password was changed since; show the new one")]
    PasswordChanged,
    /// The account has credentials with which somebody other than the user may sign in.
    #[error("this account is already used with another sign-in method, and its e-mail address is not verified")]
    InUse,
    /// An authenticator is enrolled already.
    #[error("there is an authenticator already; remove it first")]
    TotpThere,
    /// The code was already used.
    #[error("this code is wrong or was already used; wait for the next one")]
    CodeUsed,
    /// This passkey is enrolled already.
    #[error("this passkey is already registered")]
    PasskeyThere,
    /// The maximum number of passkeys is reached.
    #[error("there are {} passkeys already; remove one first", crate::MOST_PASSKEYS)]
    PasskeysMany,
    /// The passkey does not belong to the account.
    #[error("there is no such passkey")]
    PasskeyUnknown,
    /// The signature counter did not increase, so the passkey may have been cloned.
    #[error("the signature counter of this passkey went backwards; there may be a copy of it")]
    PasskeyCloned,
    /// The challenge was already used.
    #[error("this challenge was already used")]
    ChallengeUsed,
}

impl From<AccountError> for Refusal {
    fn from(error: AccountError) -> Self {
        let code = match error {
            AccountError::Closed => "account_closed",
            AccountError::LinkUsed => "link_used",
            AccountError::PasswordChanged => "password_changed",
            AccountError::InUse => "email_not_verified",
            AccountError::TotpThere => "totp_there",
            AccountError::CodeUsed => "code_used",
            AccountError::PasskeyThere => "passkey_there",
            AccountError::PasskeysMany => "passkeys_many",
            AccountError::PasskeyUnknown => "passkey_unknown",
            AccountError::PasskeyCloned => "passkey_cloned",
            AccountError::ChallengeUsed => "challenge_used",
        };
        Self::conflict(code, error.to_string())
    }
}

impl Account {
    /// The data subject's key that encrypts a user's personal data in this service: that of the account's stream.
    pub fn key_of(user: impl Display) -> String {
        format!("{}/{user}", Self::TYPE)
    }

    fn close(&mut self, at: DateTime<Utc>) {
        (self.closed, self.ended_at) = (true, Some(at));
        (self.password, self.totp, self.passkeys) = (None, None, Passkeys::default());
        self.recovery.clear();
        self.links.clear();
    }

    /// Whether the link with this number is valid at a time.
    pub fn link(&self, turn: u32, at: DateTime<Utc>) -> bool {
        !self.closed && self.links.until(turn).is_some_and(|until| at < until)
    }

    fn may_set_password(&self, by: &By) -> Result<(), AccountError> {
        match by {
            By::Invitation if self.password.is_none() && !self.entered => Ok(()),
            By::Link { turn, at } if self.link(*turn, *at) => Ok(()),
            By::Invitation | By::Link { .. } => Err(AccountError::LinkUsed),
            By::Password { shown } if self.password.as_ref() == Some(shown) => Ok(()),
            By::Password { .. } => Err(AccountError::PasswordChanged),
        }
    }

    /// Whether nobody has used the account yet: it has no credentials, and no client got tokens or consent.
    pub fn is_fresh(&self) -> bool {
        let nothing_to_show = self.password.is_none() && !self.has_second_factor();
        let nothing_given = self.listeners.is_empty() && self.consents.is_empty() && self.withdrawn.is_empty();
        !self.closed && !self.entered && nothing_to_show && nothing_given
    }

    /// Whether a link to set a password may be mailed to the user's address. `shown`: the address is verified. An unverified address may be
    /// another person's, who must not get access to the user's account. A [fresh](Self::is_fresh) account has nothing to protect yet, and
    /// the address is all that whoever created the user said about their identity.
    pub fn opens_by_mail(&self, shown: bool) -> bool {
        !self.closed && (shown || self.is_fresh())
    }

    /// Whether its credentials suffice to sign in: a password or a passkey. (An authenticator alone does not.)
    fn opens_by_itself(&self) -> bool {
        self.password.is_some() || !self.passkeys.is_empty()
    }

    /// Whether the user has a second factor.
    pub fn has_second_factor(&self) -> bool {
        self.totp.is_some() || !self.passkeys.is_empty()
    }

    /// Drops recovery codes if there is no second factor for which they could be used.
    fn drop_useless_codes(&mut self) {
        if !self.has_second_factor() {
            self.recovery.clear();
        }
    }

    fn end_sessions(&self, at: DateTime<Utc>, reason: String) -> AccountEvent {
        SessionsEnded { at, reason, era: Some(self.era) }.into()
    }

    /// Whether the user has consented to all of this scope already.
    pub fn consented<'s>(&self, client: ClientId, scope: impl IntoIterator<Item = &'s String>) -> bool {
        self.consents.get(&client).is_some_and(|consent| scope.into_iter().all(|word| consent.contains(word)))
    }
}

impl Aggregate for Account {
    const TYPE: &'static str = "auth.account";
    const FORM: u32 = 9;
    const SEALED: bool = true;
    type Command = AccountCommand;
    type Event = AccountEvent;
    type Error = AccountError;

    /// The data subject is the user: personal data in their sessions is encrypted under this account's key, too, perhaps before the account
    /// has any events.
    fn person(&self, id: &str) -> Option<String> {
        Some(Self::key_of(id))
    }

    fn decide(&self, command: AccountCommand) -> Result<Vec<AccountEvent>, AccountError> {
        Ok(match command {
            AccountCommand::Erase { .. } if self.erased => vec![],
            AccountCommand::Erase { at } => vec![AccountErased { at }.into()],
            AccountCommand::Close { .. } if self.closed => vec![],
            AccountCommand::Close { at } => vec![AccountClosed { at }.into()],
            _ if self.closed => return Err(AccountError::Closed),
            AccountCommand::Enter if self.entered => vec![],
            AccountCommand::Enter => vec![AccountEntered {}.into()],
            AccountCommand::TakeOver { .. } if self.opens_by_itself() => return Err(AccountError::InUse),
            AccountCommand::TakeOver { .. } if *self == Self::default() => vec![AccountEntered {}.into()],
            AccountCommand::TakeOver { at } => {
                let withdrawn = self.consents.keys().map(|client| ConsentWithdrawn { client: *client, at });
                let ended = self.end_sessions(at, "taken_over".to_owned());
                withdrawn.map(AccountEvent::from).chain([ended, AccountEntered {}.into()]).collect()
            }
            AccountCommand::SetPassword { password, by } => {
                self.may_set_password(&by)?;
                vec![PasswordSet { password }.into()]
            }
            AccountCommand::RequestReset { at } => {
                let mailed_at = self.links.until(self.resets).map(|until| until - RESET_GOOD_FOR);
                if mailed_at.is_some_and(|mailed| kernel::pauses(mailed, RESET_PAUSE, at)) {
                    return Ok(vec![]);
                }
                let turn = self.resets.saturating_add(1);
                vec![PasswordResetRequested { turn, until: at + RESET_GOOD_FOR }.into()]
            }
            AccountCommand::EnrolTotp { .. } if self.totp.is_some() => return Err(AccountError::TotpThere),
            AccountCommand::EnrolTotp { secret, step, recovery } => {
                vec![TotpEnrolled { secret, step }.into(), RecoveryCodesSet { hashes: recovery }.into()]
            }
            AccountCommand::UseTotp { step } if self.totp.as_ref().is_none_or(|totp| step <= totp.used) => {
                return Err(AccountError::CodeUsed);
            }
            AccountCommand::UseTotp { step } => vec![TotpUsed { step }.into()],
            AccountCommand::RemoveTotp if self.totp.is_none() => vec![],
            AccountCommand::RemoveTotp => vec![TotpRemoved {}.into()],
            AccountCommand::EnrolPasskey { enrolled, recovery } => self.passkeys.enrol(*enrolled, recovery)?,
            AccountCommand::ShowPasskey(shown) => self.passkeys.show(shown)?,
            AccountCommand::RenamePasskey(renamed) => self.passkeys.rename(renamed)?,
            AccountCommand::RemovePasskey(removed) => self.passkeys.remove(removed),
            AccountCommand::RemoveSecondFactors => {
                let totp = self.totp.as_ref().map(|_| TotpRemoved {}.into());
                totp.into_iter().chain(self.passkeys.remove_all()).collect()
            }
            AccountCommand::SetRecoveryCodes { hashes } => vec![RecoveryCodesSet { hashes }.into()],
            AccountCommand::UseRecoveryCode { hash } if !self.recovery.contains(&hash) => {
                return Err(AccountError::CodeUsed);
            }
            AccountCommand::UseRecoveryCode { hash } => vec![RecoveryCodeUsed { hash }.into()],
            AccountCommand::Join { client, session, .. } if self.listeners.has(client, session) => vec![],
            AccountCommand::Join { client, session, at } => vec![ClientJoined { client, session, at }.into()],
            AccountCommand::EndSessions { at, reason } => vec![self.end_sessions(at, reason)],
            AccountCommand::Consent { client, scope } if self.consented(client, &scope) => vec![],
            AccountCommand::Consent { client, scope } => vec![ConsentGiven { client, scope }.into()],
            AccountCommand::Withdraw { client, .. } if !self.consents.contains_key(&client) => vec![],
            AccountCommand::Withdraw { client, at } => vec![ConsentWithdrawn { client, at }.into()],
        })
    }

    fn evolve(&mut self, event: AccountEvent) {
        match event {
            AccountEvent::PasswordSet(e) => {
                self.password = Some(e.password);
                self.links.clear();
            }
            AccountEvent::PasswordResetRequested(e) => {
                self.links.send(e.turn, e.until, RESET_GOOD_FOR);
                self.resets = e.turn;
            }
            AccountEvent::TotpEnrolled(e) => self.totp = Some(Totp { secret: e.secret, used: e.step }),
            AccountEvent::TotpUsed(e) => {
                if let Some(totp) = &mut self.totp {
                    totp.used = e.step;
                }
            }
            AccountEvent::TotpRemoved(_) => {
                self.totp = None;
                self.drop_useless_codes();
            }
            AccountEvent::PasskeyEnrolled(e) => self.passkeys.enrolled(e),
            AccountEvent::PasskeyUsed(e) => self.passkeys.shown(e),
            AccountEvent::PasskeyRenamed(e) => {
                if let Some(passkey) = self.passkeys.by_id.get_mut(&e.passkey) {
                    passkey.name = e.name;
                }
            }
            AccountEvent::PasskeyRemoved(e) => {
                self.passkeys.by_id.remove(&e.passkey);
                self.drop_useless_codes();
            }
            AccountEvent::RecoveryCodesSet(e) => self.recovery = e.hashes.into_iter().collect(),
            AccountEvent::RecoveryCodeUsed(e) => _ = self.recovery.remove(&e.hash),
            AccountEvent::ClientJoined(e) => {
                let joined = self.moment(e.at);
                self.listeners.add(e.client, e.session, joined);
            }
            AccountEvent::SessionsEnded(e) => {
                (self.ended_at, self.era) = (Some(e.at), self.era.max(e.era.unwrap_or_default()).saturating_add(1));
                self.links.clear();
            }
            // A link that was mailed earlier may have gone to somebody else. The user can now sign in without it.
            AccountEvent::AccountEntered(_) => {
                self.entered = true;
                self.links.clear();
            }
            AccountEvent::AccountClosed(e) => self.close(e.at),
            AccountEvent::AccountErased(e) => {
                self.close(e.at);
                self.erased = true;
                self.consents.clear();
            }
            AccountEvent::ConsentGiven(e) => self.consents.entry(e.client).or_default().extend(e.scope),
            AccountEvent::ConsentWithdrawn(e) => {
                let withdrawn = self.consent_moment(e.client, e.at);
                self.consents.remove(&e.client);
                self.withdrawn.insert(e.client, withdrawn);
            }
        }
    }
}

kernel::aggregate!(Account);

#[cfg(test)]
mod tests;
