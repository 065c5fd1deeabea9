//! Sessions: somebody is signed in with one browser.

use chrono::{DateTime, TimeDelta, Utc};
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
            /// How often all their sessions had ended before: no clock says which came first. Absent: it was not counted yet.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub era: Option<u32>,
        },
        /// They showed it again, or by more.
        SessionConfirmed = "auth.session.confirmed" @ 1 { pub methods: Vec<String>, pub at: DateTime<Utc> },
        /// They used it: written now and then, not each time (see [`Session::notes_use`]).
        SessionUsed = "auth.session.used" @ 1 { pub at: DateTime<Utc> },
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
    /// What the provider calls its session; absent: it did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The name by which it signed them in: to sign them out there, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<SamlName>,
}

/// A name of somebody at an identity provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SamlName {
    /// It, whole.
    pub value: Personal<String>,
    /// What kind of name it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
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
    /// When it was last used, as far as that was noted.
    pub used_at: Option<DateTime<Utc>>,
    /// Whether it is over.
    pub ended: bool,
}

/// What can be asked of a session.
#[derive(Clone, Debug, PartialEq)]
pub enum SessionCommand {
    /// Begins.
    Start(Box<SessionStarted>),
    /// They showed again who they are.
    Confirm(SessionConfirmed),
    /// They use it. `idle`: after how long without that it ends.
    Use { at: DateTime<Utc>, idle: TimeDelta },
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

/// A session's use is noted when a part of what it may rest has gone by since the last time: one of so many.
const NOTED: i32 = 12;

/// However long it may rest, its use is noted after this.
const NOTED_AT_LEAST: TimeDelta = TimeDelta::hours(1);

impl Session {
    /// Whose it is, if it holds at a time. `idle`: after how long without use it ends.
    pub fn holds(&self, at: DateTime<Utc>, idle: TimeDelta) -> Option<&SessionStarted> {
        let rested = self.used_at.is_none_or(|used| at >= used + idle);
        self.started.as_ref().filter(|started| !self.ended && !rested && at < started.expires_at)
    }

    /// Whether its use at a time is to be noted: a twelfth of what it may rest, or an hour, has gone by since the last time. It ends so much
    /// earlier than it would if every use was, never later.
    pub fn notes_use(&self, at: DateTime<Utc>, idle: TimeDelta) -> bool {
        self.used_at.is_some_and(|used| at - used >= (idle / NOTED).min(NOTED_AT_LEAST))
    }

    fn used(&mut self, at: DateTime<Utc>) {
        // A clock that goes back takes nothing away.
        self.used_at = self.used_at.max(Some(at));
    }
}

impl Aggregate for Session {
    const TYPE: &'static str = "auth.session";
    const FORM: u32 = 6;
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
            // What has ended stays so, and what was just noted is.
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

    /// Longer than all of them.
    const IDLE: TimeDelta = TimeDelta::hours(24);

    fn at(minute: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::minutes(minute)
    }

    fn started() -> SessionStarted {
        let (user, methods) = (UserId::new(Uuid::nil()), vec!["pwd".to_owned()]);
        SessionStarted { user, methods, at: at(0), expires_at: at(60), place: Place::default(), saml: None, era: None }
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
