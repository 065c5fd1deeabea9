//! What can be asked of a session, and of attempts to begin one.

use auth_aggregates::{
    Account, AccountCommand, EndReason, Place, SamlSignIn, Session, SessionCommand, SessionConfirmed, SessionId,
    SessionStarted, SignIn, SignInPolicy, SignInRefused,
};
use chrono::TimeDelta;
use executor::{ClaimKind, Command, Work};
use kernel::{Refusal, UserId};
use uuid::Uuid;

use crate::grants::PROTOCOL;

/// Assertions of identity providers that were believed: each works once.
pub(crate) const SAML_ASSERTION: ClaimKind = ClaimKind {
    name: "auth.saml_connection.assertion",
    code: "saml_replayed",
    detail: "somebody was signed in with this assertion already; sign in again at the identity provider",
};

/// Somebody showed who they are.
#[derive(Clone, Debug)]
pub struct StartSession {
    pub user: UserId,
    /// By what: `pwd`, `otp`, `hwk`, `swk`, `fed`.
    pub methods: Vec<String>,
    /// What an identity provider said, if it was one. It is used up in the same append.
    pub saml: Option<SamlSignIn>,
    /// How long it holds.
    pub lifetime: TimeDelta,
    pub place: Place,
}

/// Whoever is signed in showed again who they are, or by more than before.
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
        let started = SessionStarted {
            user: self.user,
            methods: self.methods.clone(),
            at,
            expires_at: at + self.lifetime,
            place: self.place.clone(),
            saml: self.saml.clone(),
        };
        if let Some(saml) = &self.saml {
            // Nobody has it, and then this session does: of two at once, one is refused.
            work.absent(&SAML_ASSERTION, &saml.key(), session);
            work.take(&SAML_ASSERTION, &saml.key(), session);
            // Their account is in use from now on, though it has no password.
            work.upsert::<Account>(self.user, AccountCommand::Enter).await?;
        }
        work.create::<Session>(session, SessionCommand::Start(started))?;
        Ok(session)
    }
}

impl Command for ConfirmSession {
    const PERMISSION: &'static str = PROTOCOL;
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
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
