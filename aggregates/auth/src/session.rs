//! Sessions: a user is signed in with one browser.

use chrono::{DateTime, TimeDelta, Utc};
use kernel::{Aggregate, Personal, Refusal, UserId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Account, SamlConnectionId, SessionId};

kernel::events! {
    /// Events of a session.
    pub enum SessionEvent of "auth.session" {
        /// A user signed in.
        SessionStarted = "auth.session.started" @ 1 {
            pub user: UserId,
            /// Authentication methods (RFC 8176): `pwd`, `otp`, `hwk`, `swk`; `fed` for an identity provider.
            pub methods: Vec<String>,
            pub at: DateTime<Utc>,
            /// When the session expires at the latest.
            pub expires_at: DateTime<Utc>,
            pub place: Place,
            /// Sign-in at an identity provider; absent: the user authenticated here.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub saml: Option<SamlSignIn>,
            /// How often all sessions of the user had ended before, which does not depend on clocks. Absent in events from before it was
            /// counted.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub era: Option<u32>,
            /// Session of the same user in the same browser that this one replaced; it ends when this one ends. Absent: there was none.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub replaces: Option<SessionId>,
        },
        /// The user authenticated again, or with a further method.
        SessionConfirmed = "auth.session.confirmed" @ 1 { pub methods: Vec<String>, pub at: DateTime<Utc> },
        /// The session was used. Recorded now and then, not at each use (see [`Session::notes_use`]).
        SessionUsed = "auth.session.used" @ 1 { pub at: DateTime<Utc> },
        /// The session ended.
        SessionEnded = "auth.session.ended" @ 1 { pub reason: EndReason },
    }
}

/// A sign-in at an identity provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SamlSignIn {
    /// Connection to the identity provider.
    pub connection: SamlConnectionId,
    /// Id of the provider's assertion. It can be used once.
    pub assertion: String,
    /// When the user authenticated at the provider, which may be long ago.
    pub authenticated_at: DateTime<Utc>,
    /// Session index of the provider; absent if it sent none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// Name id with which the provider signed the user in; needed for single logout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<SamlName>,
}

/// Name id of a user at an identity provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SamlName {
    /// The name id.
    pub value: Personal<String>,
    /// Format of the name id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
}

impl SamlSignIn {
    /// A key that identifies this assertion in the tenant.
    pub fn key(&self) -> String {
        format!("{} {}", self.connection, self.assertion)
    }
}

impl SessionStarted {
    /// When the user authenticated.
    pub fn shown_at(&self) -> DateTime<Utc> {
        self.saml.as_ref().map_or(self.at, |saml| saml.authenticated_at)
    }
}

/// Where a request came from. It is personal data, sealed with the key of the person.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Place {
    /// IP address, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Personal<String>>,
    /// User agent of the browser.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<Personal<String>>,
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// The user signed out.
    SignedOut,
    /// The user, or an authorized caller, revoked it from elsewhere.
    Revoked,
}

/// A session, as it results from its events.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// The start of the session; `None`: it has not started.
    pub started: Option<SessionStarted>,
    /// The authentication methods so far.
    pub methods: Vec<String>,
    /// When the user last authenticated.
    pub confirmed_at: Option<DateTime<Utc>>,
    /// When it was last used, as far as that was recorded.
    pub used_at: Option<DateTime<Utc>>,
    /// Whether it has ended.
    pub ended: bool,
}

/// The commands of a session.
#[derive(Clone, Debug, PartialEq)]
pub enum SessionCommand {
    /// Starts the session.
    Start(Box<SessionStarted>),
    /// Records that the user authenticated again.
    Confirm(SessionConfirmed),
    /// Records its use. `idle`: the idle timeout.
    Use { at: DateTime<Utc>, idle: TimeDelta },
    /// Ends the session.
    End(EndReason),
}

/// Why a session refuses a command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the session has ended; sign in again")]
pub struct SessionError;

impl From<SessionError> for Refusal {
    fn from(error: SessionError) -> Self {
        Self::conflict("session_ended", error.to_string())
    }
}

/// The use of a session is recorded once this fraction (one in so many) of the idle timeout has passed since the last record.
const NOTED: i32 = 12;

/// The use is recorded after this time at the latest, however long the idle timeout is.
const NOTED_AT_LEAST: TimeDelta = TimeDelta::hours(1);

/// The number of sessions that are followed when each replaced the one before in the same browser.
pub const MOST_REPLACED: usize = 200;

impl Session {
    /// The session that it replaced in the same browser.
    pub fn replaces(&self) -> Option<SessionId> {
        self.started.as_ref().and_then(|started| started.replaces)
    }

    /// The session's start, with its user, if it is valid at a time. `idle`: the idle timeout.
    pub fn holds(&self, at: DateTime<Utc>, idle: TimeDelta) -> Option<&SessionStarted> {
        let rested = self.used_at.is_none_or(|used| at >= used + idle);
        self.started.as_ref().filter(|started| !self.ended && !rested && at < started.expires_at)
    }

    /// Whether a use at this time should be recorded: a twelfth of the idle timeout, or an hour, has passed since the last record. So an
    /// idle session may end earlier by that much, but never later.
    pub fn notes_use(&self, at: DateTime<Utc>, idle: TimeDelta) -> bool {
        self.used_at.is_some_and(|used| at - used >= (idle / NOTED).min(NOTED_AT_LEAST))
    }

    fn used(&mut self, at: DateTime<Utc>) {
        // The recorded time never goes back, even if the clock does.
        self.used_at = self.used_at.max(Some(at));
    }
}

impl Aggregate for Session {
    const TYPE: &'static str = "auth.session";
    const FORM: u32 = 7;
    const SEALED: bool = true;
    type Command = SessionCommand;
    type Event = SessionEvent;
    type Error = SessionError;

    fn person(&self, _: &str) -> Option<String> {
        self.started.as_ref().map(|started| Account::key_of(started.user))
    }

    fn decide(&self, command: SessionCommand) -> Result<Vec<SessionEvent>, SessionError> {
        Ok(match command {
            SessionCommand::Start(started) => vec![(*started).into()],
            SessionCommand::End(_) if self.ended => vec![],
            SessionCommand::End(reason) => vec![SessionEnded { reason }.into()],
            SessionCommand::Confirm(_) if self.ended => return Err(SessionError),
            SessionCommand::Confirm(confirmed) => vec![confirmed.into()],
            SessionCommand::Use { at, idle } if self.holds(at, idle).is_some() && self.notes_use(at, idle) => {
                vec![SessionUsed { at }.into()]
            }
            // The session has ended, or a use was recorded recently.
            SessionCommand::Use { .. } => vec![],
        })
    }

    fn evolve(&mut self, event: SessionEvent) {
        match event {
            SessionEvent::SessionStarted(e) => {
                (self.methods, self.confirmed_at) = (e.methods.clone(), Some(e.shown_at()));
                self.used(e.at);
                self.started = Some(e);
            }
            SessionEvent::SessionConfirmed(e) => {
                self.confirmed_at = Some(e.at);
                self.used(e.at);
                for method in e.methods {
                    if !self.methods.contains(&method) {
                        self.methods.push(method);
                    }
                }
            }
            SessionEvent::SessionUsed(e) => self.used(e.at),
            SessionEvent::SessionEnded(_) => self.ended = true,
        }
    }
}

kernel::aggregate!(Session);

#[cfg(test)]
mod tests {
    use cqrs_es::test::TestFramework;
    use uuid::Uuid;

    use super::*;

    /// An idle timeout longer than all periods in the tests.
    const IDLE: TimeDelta = TimeDelta::hours(24);

    fn at(minute: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::minutes(minute)
    }

    fn started() -> SessionStarted {
        let (user, methods) = (UserId::new(Uuid::nil()), vec!["pwd".to_owned()]);
        SessionStarted {
            user,
            methods,
            at: at(0),
            expires_at: at(60),
            place: Place::default(),
            saml: None,
            era: None,
            replaces: None,
        }
    }

    #[test]
    fn a_session_holds_until_it_expires_or_ends() {
        let mut session = Session::default();
        assert!(session.holds(at(0), IDLE).is_none(), "never started");
        session.evolve(started().into());
        assert!(session.holds(at(59), IDLE).is_some() && session.holds(at(60), IDLE).is_none());
        session.evolve(SessionEnded { reason: EndReason::SignedOut }.into());
        assert!(session.holds(at(1), IDLE).is_none());
    }

    #[test]
    fn a_session_ends_when_it_was_not_used_for_long_enough_and_use_is_noted_now_and_then() {
        let idle = TimeDelta::minutes(24);
        let given = |events: Vec<SessionEvent>| {
            TestFramework::<Session>::with(()).given([vec![started().into()], events].concat())
        };
        let (uses, used) =
            (|minute| SessionCommand::Use { at: at(minute), idle }, |minute| SessionUsed { at: at(minute) });
        given(vec![]).when(uses(1)).then_expect_events(vec![]);
        given(vec![]).when(uses(2)).then_expect_events(vec![used(2).into()]);
        given(vec![used(2).into()]).when(uses(3)).then_expect_events(vec![]);
        given(vec![used(2).into()]).when(uses(25)).then_expect_events(vec![used(25).into()]);
        given(vec![used(2).into()]).when(uses(26)).then_expect_events(vec![]);
        given(vec![SessionEnded { reason: EndReason::Revoked }.into()]).when(uses(5)).then_expect_events(vec![]);
        let mut session = Session::default();
        session.evolve(started().into());
        session.evolve(used(20).into());
        session.evolve(used(10).into());
        assert!(session.holds(at(43), idle).is_some() && session.holds(at(44), idle).is_none());
        session.evolve(SessionConfirmed { methods: vec!["otp".to_owned()], at: at(43) }.into());
        session.evolve(used(59).into());
        assert!(session.holds(at(59), idle).is_some() && session.holds(at(60), idle).is_none(), "however it is used");
        let long = TimeDelta::days(3);
        assert!(!session.notes_use(at(59 + 59), long) && session.notes_use(at(59 + 60), long), "each hour at most");
    }

    #[test]
    fn whom_a_provider_signed_in_showed_it_then_and_not_now() {
        let connection = SamlConnectionId::new(Uuid::nil());
        let saml =
            SamlSignIn { connection, assertion: "_1".to_owned(), authenticated_at: at(-30), session: None, name: None };
        let mut session = Session::default();
        session.evolve(SessionStarted { saml: Some(saml), ..started() }.into());
        assert_eq!(session.confirmed_at, Some(at(-30)));
        assert!(session.holds(at(59), IDLE).is_some());
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
