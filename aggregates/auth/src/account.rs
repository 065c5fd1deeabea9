//! Accounts: by what a person shows who they are. An account's id is the user's; all else about the user is the user service's.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use chrono::{DateTime, TimeDelta, Utc};
use kernel::{Aggregate, Personal, Refusal, SentLinks};
use keys::Sealed;
use serde::{Deserialize, Serialize};

use crate::{ClientId, Jwk, Listeners, Moment, Passkeys, SessionId};

kernel::events! {
    /// Events of an account.
    pub enum AccountEvent of "auth.account" {
        /// A new password was set.
        PasswordSet = "auth.account.password_set" @ 1 {
            /// Argon2id hash of the password (PHC string), sealed.
            pub password: Sealed,
        },
        /// A link to set a new password was requested; it is sent by e-mail.
        PasswordResetRequested = "auth.account.password_reset_requested" @ 1 {
            /// Number of the link.
            pub turn: u32,
            /// When the link expires.
            pub until: DateTime<Utc>,
        },
        /// An authenticator (TOTP) was enrolled; its codes are required from now on.
        TotpEnrolled = "auth.account.totp_enrolled" @ 1 {
            /// Secret of the authenticator, sealed.
            pub secret: Sealed,
            /// Time step of the code that confirmed the enrolment; this code can't be used again.
            pub step: u64,
        },
        /// A code of the authenticator was used.
        TotpUsed = "auth.account.totp_used" @ 1 {
            /// Time step of the code (30 seconds each, since 1970); this code and earlier ones can't be used again.
            pub step: u64,
        },
        /// The authenticator was removed.
        TotpRemoved = "auth.account.totp_removed" @ 1 {},
        /// New recovery codes were set; earlier ones are no longer valid.
        RecoveryCodesSet = "auth.account.recovery_codes_set" @ 1 {
            /// SHA-256 hash of each code, hexadecimal. (A code has 80 random bits, so it can't be guessed.)
            pub hashes: Vec<String>,
        },
        /// A passkey was enrolled; it can be used instead of the password or after it.
        PasskeyEnrolled = "auth.account.passkey_enrolled" @ 1 {
            /// Credential id of the passkey, base64url-encoded.
            pub passkey: String,
            /// Name that the user gave the passkey.
            pub name: Personal<String>,
            /// Public key that verifies its signatures.
            pub key: Jwk,
            /// Signature counter of the passkey; 0 if it does not count.
            pub counter: u32,
            /// Whether the passkey may be synced between devices.
            pub synced: bool,
            /// Challenge that was signed, base64url-encoded; it can't be used again.
            pub challenge: String,
            pub at: DateTime<Utc>,
        },
        /// A passkey was used.
        PasskeyUsed = "auth.account.passkey_used" @ 1 {
            pub passkey: String,
            /// Signature counter of the passkey.
            pub counter: u32,
            /// Challenge that was signed, base64url-encoded; it can't be used again.
            pub challenge: String,
            pub at: DateTime<Utc>,
        },
        /// A passkey was renamed.
        PasskeyRenamed = "auth.account.passkey_renamed" @ 1 { pub passkey: String, pub name: Personal<String> },
        /// A passkey was removed and is no longer valid.
        PasskeyRemoved = "auth.account.passkey_removed" @ 1 { pub passkey: String },
        /// A recovery code was used instead of the authenticator or a passkey.
        RecoveryCodeUsed = "auth.account.recovery_code_used" @ 1 { pub hash: String },
        /// A client got tokens in a session, and is notified when the session ends.
        ClientJoined = "auth.account.client_joined" @ 1 {
            pub client: ClientId,
            pub session: SessionId,
            pub at: DateTime<Utc>,
        },
        /// All existing sessions of the user ended, with the grants made in them.
        SessionsEnded = "auth.account.sessions_ended" @ 1 {
            pub at: DateTime<Utc>,
            pub reason: String,
            /// Sessions of this era and earlier ones ended. Absent: those that had begun by then, judged by their times.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub era: Option<u32>,
        },
        /// The user signed in through an identity provider of their organization for the first time.
        AccountEntered = "auth.account.entered" @ 1 {},
        /// The account was closed: nobody can sign in with it any more.
        AccountClosed = "auth.account.closed" @ 1 { pub at: DateTime<Utc> },
        /// The account was closed and the personal data in it, in its sessions and in its sign-in attempts was erased.
        AccountErased = "auth.account.erased" @ 1 { pub at: DateTime<Utc> },
        /// The user consented that a client acts for them within this scope.
        ConsentGiven = "auth.account.consent_given" @ 1 { pub client: ClientId, pub scope: Vec<String> },
        /// The user's consent for a client was withdrawn; its grants ended.
        ConsentWithdrawn = "auth.account.consent_withdrawn" @ 1 { pub client: ClientId, pub at: DateTime<Utc> },
    }
}

/// An account, as it results from its events.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Account {
    /// The password's hash, sealed; none: there is no password.
    pub password: Option<Sealed>,
    /// How often a link to set a password was asked for.
    pub resets: u32,
    /// Until when each link is good. All of them go when a password is set, and when all sessions end: whoever kept one has it from before that.
    pub links: SentLinks,
    /// The authenticator of which they show a code, too.
    pub totp: Option<Totp>,
    /// The passkeys that they may show.
    pub passkeys: Passkeys,
    /// The hashes of the recovery codes that are left.
    pub recovery: BTreeSet<String>,
    /// Who is told when sessions end.
    pub listeners: Listeners,
    /// Sessions and grants of before have ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// How often all sessions have ended.
    #[serde(default)]
    pub era: u32,
    /// Whether nobody may sign in with it.
    pub closed: bool,
    /// Whether what tells who it was is gone.
    #[serde(default)]
    pub erased: bool,
    /// Whether somebody came in by an identity provider.
    #[serde(default)]
    pub entered: bool,
    /// What clients may do for the person.
    pub consents: BTreeMap<ClientId, BTreeSet<String>>,
    /// When it was last taken back what a client may do: what was granted to it by then has ended.
    pub withdrawn: BTreeMap<ClientId, Moment>,
}

/// An authenticator (RFC 6238) of a person.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Totp {
    /// What its codes are made of, sealed.
    pub secret: Sealed,
    /// The step of the last code that was shown: it and those before it are used up.
    pub used: u64,
}

/// By what somebody may set a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum By {
    /// They were invited, and have none yet.
    Invitation,
    /// They followed the link of this turn, at this time.
    Link { turn: u32, at: DateTime<Utc> },
    /// They showed the old one, whose hash this is: it has to be theirs still.
    Password { shown: Sealed },
}

/// How long a link to set a password is good.
pub const RESET_GOOD_FOR: TimeDelta = TimeDelta::hours(1);

/// For so long no second link is mailed: whoever knows an address must not fill its mailbox.
const RESET_PAUSE: TimeDelta = TimeDelta::minutes(10);

/// What can be asked of an account.
#[derive(Clone, Debug, PartialEq)]
pub enum AccountCommand {
    /// Sets the password.
    SetPassword { password: Sealed, by: By },
    /// Has a link mailed, unless one was a moment ago.
    RequestReset { at: DateTime<Utc> },
    /// Has codes asked for from now on.
    EnrolTotp { secret: Sealed, step: u64, recovery: Vec<String> },
    /// Uses a code up.
    UseTotp { step: u64 },
    /// Asks for none any more.
    RemoveTotp,
    /// Lets a passkey be shown from now on. Without recovery codes those that are there stay.
    EnrolPasskey { enrolled: Box<PasskeyEnrolled>, recovery: Vec<String> },
    /// Uses a challenge up that a passkey signed.
    ShowPasskey(PasskeyUsed),
    /// Calls a passkey otherwise.
    RenamePasskey(PasskeyRenamed),
    /// Makes a passkey worthless.
    RemovePasskey(PasskeyRemoved),
    /// Asks for nothing but the password any more.
    RemoveSecondFactors,
    /// Makes recovery codes anew.
    SetRecoveryCodes { hashes: Vec<String> },
    /// Uses a recovery code up.
    UseRecoveryCode { hash: String },
    /// Has a client told when a session ends.
    Join { client: ClientId, session: SessionId, at: DateTime<Utc> },
    /// Ends all sessions.
    EndSessions { at: DateTime<Utc>, reason: String },
    /// Notes that the person came in by an identity provider.
    Enter,
    /// The same, of somebody whose address nobody has shown to be theirs until the provider vouched for it: whoever came in before may be
    /// somebody else, so all that they began ends, and there must be nothing by which they come in again. An authenticator stays: it is
    /// asked for, whoever vouches.
    TakeOver { at: DateTime<Utc> },
    /// Ends it all.
    Close { at: DateTime<Utc> },
    /// The same, and forgets who it was.
    Erase { at: DateTime<Utc> },
    /// Lets a client act.
    Consent { client: ClientId, scope: Vec<String> },
    /// Lets it no more.
    Withdraw { client: ClientId, at: DateTime<Utc> },
}

/// Why an account says no.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccountError {
    /// For ever.
    #[error("the account is closed")]
    Closed,
    /// A link works once.
    #[error(
        "this link to set a password has expired, was used, or all sessions were ended since it was sent; ask for a new one"
    )]
    LinkUsed,
    /// Another one was set since it was shown.
    #[error("the password was changed since; show the new one")]
    PasswordChanged,
    /// Somebody who need not be the person can come in by what it has.
    #[error("this account is already used with another sign-in method, and its e-mail address is not verified")]
    InUse,
    /// There is one, or none.
    #[error("there is an authenticator already; remove it first")]
    TotpThere,
    /// A code works once.
    #[error("this code is wrong or was already used; wait for the next one")]
    CodeUsed,
    /// One authenticator holds one passkey for a person.
    #[error("this passkey is already registered")]
    PasskeyThere,
    /// There is room for so many.
    #[error("there are {} passkeys already; remove one first", crate::MOST_PASSKEYS)]
    PasskeysMany,
    /// It is somebody else's, or nobody's.
    #[error("there is no such passkey")]
    PasskeyUnknown,
    /// It counts backwards: there is a copy of it that nobody should have.
    #[error("the signature counter of this passkey went backwards; there may be a copy of it")]
    PasskeyCloned,
    /// A challenge works once.
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
    /// The stream whose key seals what is personal of a user in this service: that of their account.
    pub fn key_of(user: impl Display) -> String {
        format!("{}/{user}", Self::TYPE)
    }

    fn close(&mut self, at: DateTime<Utc>) {
        (self.closed, self.ended_at) = (true, Some(at));
        (self.password, self.totp, self.passkeys) = (None, None, Passkeys::default());
        self.recovery.clear();
        self.links.clear();
    }

    /// Whether the link of a turn is good at a time.
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

    /// Whether nobody has come in by it yet: there is no password, nothing else to be shown, and nothing was given to a client.
    pub fn is_fresh(&self) -> bool {
        let nothing_to_show = self.password.is_none() && !self.has_second_factor();
        let nothing_given = self.listeners.is_empty() && self.consents.is_empty() && self.withdrawn.is_empty();
        !self.closed && !self.entered && nothing_to_show && nothing_given
    }

    /// Whether a link that sets a password may be mailed to the person's address. `shown`: they have shown that it is theirs. If they
    /// have not, it may be somebody else's, who must not get what is the person's; of a [fresh](Self::is_fresh) account nothing is, and
    /// the address is all by which whoever made the user said who it is.
    pub fn opens_by_mail(&self, shown: bool) -> bool {
        !self.closed && (shown || self.is_fresh())
    }

    /// Whether somebody comes in by what it has: a password, or a passkey. (An authenticator alone lets nobody in.)
    fn opens_by_itself(&self) -> bool {
        self.password.is_some() || !self.passkeys.is_empty()
    }

    /// Whether they can show more than their password.
    pub fn has_second_factor(&self) -> bool {
        self.totp.is_some() || !self.passkeys.is_empty()
    }

    /// Recovery codes stand in for a second factor: without one they are worth nothing.
    fn drop_useless_codes(&mut self) {
        if !self.has_second_factor() {
            self.recovery.clear();
        }
    }

    fn end_sessions(&self, at: DateTime<Utc>, reason: String) -> AccountEvent {
        SessionsEnded { at, reason, era: Some(self.era) }.into()
    }

    /// Whether the person consented to all of this already.
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

    /// The account is where a person's key is: what is theirs in sessions is sealed under it, perhaps before anything happened here.
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
            // Whose the address was when a link was mailed there is not said any more: they are in without it.
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
