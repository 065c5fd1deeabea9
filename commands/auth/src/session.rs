//! What can be asked of a session, and of attempts to begin one.

use std::sync::Arc;

use auth_aggregates::{
    Account, AccountCommand, EndReason, Moment, Place, SamlSignIn, Session, SessionCommand, SessionConfirmed,
    SessionError, SessionId, SessionStarted, SignIn, SignInPolicy, SignInRefused,
};
use chrono::TimeDelta;
use executor::{Command, Work};
use kernel::{Refusal, UserId};
use uuid::Uuid;

use crate::account::account_of;
use crate::grants::PROTOCOL;
use crate::reach::Reach;
use crate::saml_assertion::SAML_ASSERTION;

/// Somebody showed who they are. Refused when all their sessions ended after that: `sessions_ended`.
#[derive(Clone, Debug)]
pub struct StartSession {
    pub user: UserId,
    /// By what: `pwd`, `otp`, `hwk`, `swk`, `fed`.
    pub methods: Vec<String>,
    /// What an identity provider said, if it was one. It begins one session.
    pub saml: Option<SamlSignIn>,
    /// When they began to, if it was compared with what their account has: not all their sessions must have ended since.
    pub since: Option<Moment>,
    /// How long it holds.
    pub lifetime: TimeDelta,
    pub place: Place,
}

/// In what somebody changes by what they sign in. It must not have ended when that is written.
#[derive(Clone, Copy, Debug)]
pub enum Within {
    /// In a session of theirs: else `session_ended`.
    Session(SessionId),
    /// While they sign in, as of when they began to: else `sessions_ended`.
    SignIn(Moment),
}

/// Whoever is signed in showed again who they are, or by more than before. Refused when the session has ended, by itself or with all
/// others: `session_ended`.
#[derive(Clone, Debug)]
pub struct ConfirmSession {
    pub session: SessionId,
    /// By what: `pwd`, `otp`, `hwk`, `swk`.
    pub methods: Vec<String>,
}

/// Whoever is signed in uses the session.
#[derive(Clone, Debug)]
pub struct UseSession {
    pub session: SessionId,
}

/// A session is over.
#[derive(Clone, Debug)]
pub struct EndSession {
    pub session: SessionId,
    pub reason: EndReason,
}

/// As [`EndSession`], by who may end those of others.
#[derive(Clone, Debug)]
pub struct RevokeSession {
    pub session: SessionId,
    pub reach: Reach,
}

/// Somebody tried to sign in and was refused.
#[derive(Clone, Debug)]
pub struct NoteRefusedSignIn {
    pub user: Option<UserId>,
    /// Why, in a word of ours.
    pub reason: &'static str,
    /// From where; of what was about nobody it is not kept.
    pub place: Place,
    /// A keyed hash of the address, kept of what was about nobody.
    pub origin: Option<String>,
}

impl Command for StartSession {
    const PERMISSION: &'static str = PROTOCOL;
    type Answer = SessionId;

    async fn run(&self, work: &mut Work<'_>) -> Result<SessionId, Refusal> {
        let session: SessionId = work.new_id();
        let at = work.now();
        let account = account_of(work, self.user).await?;
        begun(&account, self.since.unwrap_or_else(|| account.moment(at)))?;
        let started = SessionStarted {
            user: self.user,
            methods: self.methods.clone(),
            at,
            expires_at: at + self.lifetime,
            place: self.place.clone(),
            saml: self.saml.clone(),
            era: Some(account.era),
        };
        if let Some(saml) = &self.saml {
            // Nobody has it, and then this session does: of two at once, one is refused.
            work.absent(&SAML_ASSERTION, &saml.key(), session);
            work.take(&SAML_ASSERTION, &saml.key(), session);
            // Their account is in use from now on, though it has no password.
            work.upsert::<Account>(self.user, AccountCommand::Enter).await?;
        }
        work.create::<Session>(session, SessionCommand::Start(Box::new(started)))?;
        Ok(session)
    }
}

impl Within {
    /// Requires that it has not ended when what is decided in it is written.
    pub(crate) async fn stands(self, work: &mut Work<'_>, user: UserId) -> Result<(), Refusal> {
        match self {
            Self::Session(session) => in_session(work, user, session).await.map(drop),
            Self::SignIn(since) => {
                let account = account_of(work, user).await?;
                begun(&account, since)
            }
        }
    }
}

/// Requires that not all sessions of an account have ended since somebody began to sign in.
fn begun(account: &Account, since: Moment) -> Result<(), Refusal> {
    if account.stands_by(since) {
        return Ok(());
    }
    let detail = "all sessions of this account were ended in the meantime; sign in again";
    Err(Refusal::conflict("sessions_ended", detail))
}

/// Requires that a session of a user holds when what is decided in it is written: it has not ended, and neither have all of theirs. Answers
/// their account, as it is then.
pub(crate) async fn in_session(work: &mut Work<'_>, user: UserId, session: SessionId) -> Result<Arc<Account>, Refusal> {
    let account = account_of(work, user).await?;
    let session = work.rely::<Session>(session).await?.filter(|session| !session.ended);
    let started = session.as_ref().and_then(|session| session.started.as_ref());
    if started.is_some_and(|started| started.user == user && account.stands_by(started.began())) {
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
        work.update::<Session>(self.session, SessionCommand::End(self.reason)).await
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
        work.update::<Session>(self.session, SessionCommand::End(EndReason::Revoked)).await
    }
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
