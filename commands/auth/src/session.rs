//! The commands of sessions and of failed sign-ins.

use std::sync::Arc;

use auth_aggregates::{
    Account, AccountCommand, EndReason, MOST_REPLACED, Moment, Place, SamlSignIn, Session, SessionCommand,
    SessionConfirmed, SessionError, SessionId, SessionStarted, SignIn, SignInPolicy, SignInRefused,
};
use chrono::TimeDelta;
use executor::{Command, Work};
use kernel::{Refusal, UserId};
use uuid::Uuid;

use crate::account::account_of;
use crate::grants::PROTOCOL;
use crate::reach::Reach;
use crate::saml_assertion::SAML_ASSERTION;

/// Starts a session after a user authenticated. Refused if all their sessions were ended in the meantime: `sessions_ended`.
#[derive(Clone, Debug)]
pub struct StartSession {
    pub user: UserId,
    /// The authentication methods: `pwd`, `otp`, `hwk`, `swk`, `fed`.
    pub methods: Vec<String>,
    /// The assertion, if an identity provider authenticated the user. An assertion begins at most one session.
    pub saml: Option<SamlSignIn>,
    /// The moment when the sign-in began, if it was based on the account's state. Refused if all sessions were ended since.
    pub since: Option<Moment>,
    /// The session's lifetime.
    pub lifetime: TimeDelta,
    pub place: Place,
    /// The session that the browser had, whosever it was and whether it is valid or not.
    pub before: Option<SessionId>,
}

/// The context in which a user changes their credentials. The append requires that it is still valid.
#[derive(Clone, Copy, Debug)]
pub enum Within {
    /// A session of the user; refused with `session_ended` if it ended.
    Session(SessionId),
    /// A sign-in that began at this moment; refused with `sessions_ended` if all sessions were ended since.
    SignIn(Moment),
}

/// Records that the user of a session authenticated again, possibly with further methods. Refused if the session ended, by itself or with
/// all of the user's sessions: `session_ended`.
#[derive(Clone, Debug)]
pub struct ConfirmSession {
    pub session: SessionId,
    /// The authentication methods: `pwd`, `otp`, `hwk`, `swk`.
    pub methods: Vec<String>,
}

/// Records activity in a session.
#[derive(Clone, Debug)]
pub struct UseSession {
    pub session: SessionId,
}

/// Ends a session, and those that it replaced.
#[derive(Clone, Debug)]
pub struct EndSession {
    pub session: SessionId,
    pub reason: EndReason,
}

/// As [`EndSession`], by an administrator.
#[derive(Clone, Debug)]
pub struct RevokeSession {
    pub session: SessionId,
    pub reach: Reach,
}

/// Records a refused sign-in.
#[derive(Clone, Debug)]
pub struct NoteRefusedSignIn {
    pub user: Option<UserId>,
    /// The reason code.
    pub reason: &'static str,
    /// The client's address and user agent. Not stored if no user was named.
    pub place: Place,
    /// A keyed hash of the address. Stored only if no user was named.
    pub origin: Option<String>,
}

impl Command for StartSession {
    const PERMISSION: &'static str = PROTOCOL;
    type Answer = SessionId;

    async fn run(&self, work: &mut Work<'_>) -> Result<SessionId, Refusal> {
        let session: SessionId = work.new_id();
        let at = work.now();
        let account = account_of(work, self.user).await?;
        require_not_ended(&account, self.since.unwrap_or_else(|| account.moment(at)))?;
        let replaces = match self.before {
            Some(before) => replaced(work, before, self.user).await?,
            None => None,
        };
        let started = SessionStarted {
            user: self.user,
            methods: self.methods.clone(),
            at,
            expires_at: at + self.lifetime,
            place: self.place.clone(),
            saml: self.saml.clone(),
            era: Some(account.era),
            replaces,
        };
        if let Some(saml) = &self.saml {
            // Requires that the claim is free, then takes it: of two simultaneous sessions, one is refused.
            work.absent(&SAML_ASSERTION, &saml.key(), session);
            work.take(&SAML_ASSERTION, &saml.key(), session);
            // The account counts as used from now on, even without a password.
            work.upsert::<Account>(self.user, AccountCommand::Enter).await?;
        }
        work.create::<Session>(session, SessionCommand::Start(Box::new(started)))?;
        Ok(session)
    }
}

/// The session that a new one of a user replaces in its browser, if it is the same user's: it ends when the new one ends. One of somebody
/// else ends now, as they can't sign out of it there any more.
async fn replaced(work: &mut Work<'_>, before: SessionId, user: UserId) -> Result<Option<SessionId>, Refusal> {
    let Some(session) = work.find::<Session>(before).await?.filter(|session| !session.ended) else { return Ok(None) };
    let Some(started) = &session.started else { return Ok(None) };
    if started.user == user {
        return Ok(Some(before));
    }
    let account = work.find::<Account>(started.user).await?.unwrap_or_default();
    if account.is_still_valid(started.began()) {
        end(work, before, EndReason::SignedOut).await?;
    }
    Ok(None)
}

impl Within {
    /// Makes the append require that the session or sign-in is still valid.
    pub(crate) async fn require_valid(self, work: &mut Work<'_>, user: UserId) -> Result<(), Refusal> {
        match self {
            Self::Session(session) => in_session(work, user, session).await.map(drop),
            Self::SignIn(since) => {
                let account = account_of(work, user).await?;
                require_not_ended(&account, since)
            }
        }
    }
}

/// Refuses if all sessions of an account were ended after the sign-in began.
fn require_not_ended(account: &Account, since: Moment) -> Result<(), Refusal> {
    if account.is_still_valid(since) {
        return Ok(());
    }
    let detail = "all sessions of this account were ended in the meantime; sign in again";
    Err(Refusal::conflict("sessions_ended", detail))
}

/// Makes the append require that a user's session is still valid: neither it nor all of the user's sessions were ended. Returns the user's
/// account.
pub(crate) async fn in_session(work: &mut Work<'_>, user: UserId, session: SessionId) -> Result<Arc<Account>, Refusal> {
    let account = account_of(work, user).await?;
    let session = work.rely::<Session>(session).await?.filter(|session| !session.ended);
    let started = session.as_ref().and_then(|session| session.started.as_ref());
    if started.is_some_and(|started| started.user == user && account.is_still_valid(started.began())) {
        return Ok(account);
    }
    Err(SessionError.into())
}

impl Command for ConfirmSession {
    const PERMISSION: &'static str = PROTOCOL;
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let session = work.read::<Session>(self.session).await?;
        let Some(started) = &session.started else { return Err(SessionError.into()) };
        in_session(work, started.user, self.session).await?;
        let confirmed = SessionConfirmed { methods: self.methods.clone(), at: work.now() };
        work.update::<Session>(self.session, SessionCommand::Confirm(confirmed)).await
    }
}

impl Command for UseSession {
    const PERMISSION: &'static str = PROTOCOL;
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let policy = work.find::<SignInPolicy>(work.caller().tenant()).await?.unwrap_or_default();
        let uses = SessionCommand::Use { at: work.now(), idle: policy.session_idle() };
        work.update::<Session>(self.session, uses).await
    }
}

impl Command for EndSession {
    const PERMISSION: &'static str = PROTOCOL;
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        end(work, self.session, self.reason).await
    }
}

impl Command for RevokeSession {
    const PERMISSION: &'static str = "auth:session:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let session = work.read::<Session>(self.session).await?;
        if let Some(started) = &session.started {
            self.reach.over_user(work.caller(), started.user).await?;
        }
        end(work, self.session, EndReason::Revoked).await
    }
}

/// Ends a session, and those that it replaced: the browser has their cookies no more, so signing out there would leave them as they are.
async fn end(work: &mut Work<'_>, session: SessionId, reason: EndReason) -> Result<(), Refusal> {
    work.update::<Session>(session, SessionCommand::End(reason)).await?;
    let mut replaced = work.read::<Session>(session).await?.replaces();
    for _ in 0..MOST_REPLACED {
        let Some(session) = replaced else { break };
        let Some(state) = work.find::<Session>(session).await? else { break };
        replaced = state.replaces();
        work.update::<Session>(session, SessionCommand::End(reason)).await?;
    }
    Ok(())
}

impl Command for NoteRefusedSignIn {
    const PERMISSION: &'static str = PROTOCOL;
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let (user, reason) = (self.user, self.reason.to_owned());
        let (place, origin) = match user {
            Some(_) => (self.place.clone(), None),
            None => (Place::default(), self.origin.clone()),
        };
        let attempt: Uuid = work.new_id();
        work.create::<SignIn>(attempt, SignInRefused { user, reason, place, origin })
    }
}
