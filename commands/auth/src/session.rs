//! What can be asked of a session, and of attempts to begin one.

use auth_aggregates::{
    EndReason, Place, Session, SessionCommand, SessionConfirmed, SessionId, SessionStarted, SignIn, SignInRefused,
};
use chrono::TimeDelta;
use executor::{Command, Work};
use kernel::{Refusal, UserId};
use uuid::Uuid;

use crate::grants::PROTOCOL;

/// Somebody showed who they are.
#[derive(Clone, Debug)]
pub struct StartSession {
    pub user: UserId,
    /// By what: `pwd`, `otp`, `hwk`, `swk`.
    pub methods: Vec<String>,
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
    pub place: Place,
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
        };
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
        let (user, reason, place) = (self.user, self.reason.to_owned(), self.place.clone());
        let attempt: Uuid = work.new_id();
        work.create::<SignIn>(attempt, SignInRefused { user, reason, place })
    }
}
