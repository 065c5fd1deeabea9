//! Sessions: somebody is signed in with one browser.

use chrono::{DateTime, Utc};
use kernel::{Aggregate, Personal, Refusal, UserId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Account, SamlConnectionId};

kernel::events! {
    /// What can happen to a session.
    pub enum SessionEvent of "auth.session" {
        /// Somebody signed in.
        SessionStarted = "auth.session.started" @ 1 {
            pub user: UserId,
            /// By what they showed who they are (RFC 8176): `pwd`, `otp`, `hwk`, `swk`; `fed`: to an identity provider.
            pub methods: Vec<String>,
            pub at: DateTime<Utc>,
            /// When it ends, whatever happens.
            pub expires_at: DateTime<Utc>,
            pub place: Place,
            /// What an identity provider said; absent: they showed it to us.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub saml: Option<SamlSignIn>,
        },
        /// They showed it again, or by more.
        SessionConfirmed = "auth.session.confirmed" @ 1 { pub methods: Vec<String>, pub at: DateTime<Utc> },
        /// It is over.
        SessionEnded = "auth.session.ended" @ 1 { pub reason: EndReason },
    }
}

/// That an identity provider signed somebody in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SamlSignIn {
    /// Whose word it was.
    pub connection: SamlConnectionId,
    /// The id of the assertion in which it said so. It works once.
    pub assertion: String,
    /// When they showed the provider who they are, which may be long ago.
    pub authenticated_at: DateTime<Utc>,
}

impl SamlSignIn {
    /// What tells this assertion from all others of the tenant.
    pub fn key(&self) -> String {
        format!("{} {}", self.connection, self.assertion)
    }
}

impl SessionStarted {
    /// When they showed who they are.
    pub fn shown_at(&self) -> DateTime<Utc> {
        self.saml.as_ref().map_or(self.at, |saml| saml.authenticated_at)
    }
}

/// From where somebody came. Of whom that is has to be known: it is sealed as theirs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Place {
    /// The address, as far as we know it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Personal<String>>,
    /// What the browser says that it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<Personal<String>>,
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// They signed out.
    SignedOut,
    /// They, or somebody who may, ended it from elsewhere.
    Revoked,
}

/// A session as its history has made it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// How it began; none: it did not.
    pub started: Option<SessionStarted>,
    /// By what they showed who they are, so far.
    pub methods: Vec<String>,
    /// When they last did.
    pub confirmed_at: Option<DateTime<Utc>>,
    /// Whether it is over.
    pub ended: bool,
}

/// What can be asked of a session.
#[derive(Clone, Debug, PartialEq)]
pub enum SessionCommand {
    /// Begins.
    Start(SessionStarted),
    /// They showed again who they are.
    Confirm(SessionConfirmed),
    /// Ends it.
    End(EndReason),
}

/// Why a session says no.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the session has ended; sign in again")]
pub struct SessionError;

impl From<SessionError> for Refusal {
    fn from(error: SessionError) -> Self {
        Self::conflict("session_ended", error.to_string())
    }
}

impl Session {
    /// Whose it is, if it holds at a time.
    pub fn holds(&self, at: DateTime<Utc>) -> Option<&SessionStarted> {
        self.started.as_ref().filter(|started| !self.ended && at < started.expires_at)
    }
}

impl Aggregate for Session {
    const TYPE: &'static str = "auth.session";
    const FORM: u32 = 3;
    const SEALED: bool = true;
    type Command = SessionCommand;
    type Event = SessionEvent;
    type Error = SessionError;

    fn person(&self, _: &str) -> Option<String> {
        self.started.as_ref().map(|started| Account::key_of(started.user))
    }

    fn decide(&self, command: SessionCommand) -> Result<Vec<SessionEvent>, SessionError> {
        Ok(match command {
            SessionCommand::Start(started) => vec![started.into()],
            SessionCommand::End(_) if self.ended => vec![],
            SessionCommand::End(reason) => vec![SessionEnded { reason }.into()],
            SessionCommand::Confirm(_) if self.ended => return Err(SessionError),
            SessionCommand::Confirm(confirmed) => vec![confirmed.into()],
        })
    }

    fn evolve(&mut self, event: SessionEvent) {
        match event {
            SessionEvent::SessionStarted(e) => {
                (self.methods, self.confirmed_at) = (e.methods.clone(), Some(e.shown_at()));
                self.started = Some(e);
            }
            SessionEvent::SessionConfirmed(e) => {
                self.confirmed_at = Some(e.at);
                for method in e.methods {
                    if !self.methods.contains(&method) {
                        self.methods.push(method);
                    }
                }
            }
            SessionEvent::SessionEnded(_) => self.ended = true,
        }
    }
}

kernel::aggregate!(Session);

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use cqrs_es::test::TestFramework;
    use uuid::Uuid;

    use super::*;

    fn at(minute: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::minutes(minute)
    }

    fn started() -> SessionStarted {
        let (user, methods) = (UserId::new(Uuid::nil()), vec!["pwd".to_owned()]);
        SessionStarted { user, methods, at: at(0), expires_at: at(60), place: Place::default(), saml: None }
    }

    #[test]
    fn a_session_holds_until_it_expires_or_ends() {
        let mut session = Session::default();
        assert!(session.holds(at(0)).is_none(), "never started");
        session.evolve(started().into());
        assert!(session.holds(at(59)).is_some() && session.holds(at(60)).is_none());
        session.evolve(SessionEnded { reason: EndReason::SignedOut }.into());
        assert!(session.holds(at(1)).is_none());
    }

    #[test]
    fn whom_a_provider_signed_in_showed_it_then_and_not_now() {
        let connection = SamlConnectionId::new(Uuid::nil());
        let saml = SamlSignIn { connection, assertion: "_1".to_owned(), authenticated_at: at(-30) };
        let mut session = Session::default();
        session.evolve(SessionStarted { saml: Some(saml), ..started() }.into());
        assert_eq!(session.confirmed_at, Some(at(-30)));
        assert!(session.holds(at(59)).is_some());
    }

    #[test]
    fn an_ended_session_is_not_confirmed() {
        let confirm = SessionConfirmed { methods: vec!["otp".to_owned()], at: at(2) };
        TestFramework::<Session>::with(())
            .given(vec![started().into(), SessionEnded { reason: EndReason::Revoked }.into()])
            .when(SessionCommand::Confirm(confirm))
            .then_expect_error(SessionError);
    }
}
