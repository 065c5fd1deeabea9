//! A tenant's sign-in policy. A tenant has one such policy.

use std::convert::Infallible;

use chrono::TimeDelta;
use kernel::Aggregate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

kernel::events! {
    /// Events of a tenant's sign-in policy.
    pub enum SignInPolicyEvent of "auth.sign_in_policy" {
        /// It was set who must have a second factor.
        SecondFactorRequired = "auth.sign_in_policy.second_factor_required" @ 1 { pub of: RequiredOf },
        /// It was set after how long without use sessions end.
        SessionIdleLimitSet = "auth.sign_in_policy.session_idle_limit_set" @ 1 { pub minutes: u32 },
    }
}

/// The default idle timeout of a session, in minutes: three days, so that a weekend does not end it.
pub const SESSION_IDLE_MINUTES: u32 = 3 * 24 * 60;

/// Users of whom something is required, ordered from fewest to most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RequiredOf {
    /// Nobody. Users who have a second factor still have to use it.
    #[default]
    Off,
    /// Users who may do everything that the role `admin` allows, by whichever of their own and their groups' roles.
    Admins,
    /// All users.
    Everyone,
}

/// A tenant's sign-in policy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SignInPolicy {
    /// Who must have a second factor.
    pub second_factor: RequiredOf,
    /// The idle timeout of a session, in minutes; `None`: the tenant has not set it.
    #[serde(default)]
    pub session_idle_minutes: Option<u32>,
}

/// The commands of a tenant's sign-in policy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SignInPolicyCommand {
    /// Sets who must have a second factor.
    RequireSecondFactor(RequiredOf),
    /// Sets the idle timeout of sessions, in minutes.
    LimitIdleSessions(u32),
}

impl SignInPolicy {
    /// The idle timeout of sessions, in minutes.
    pub fn session_idle_minutes(&self) -> u32 {
        self.session_idle_minutes.unwrap_or(SESSION_IDLE_MINUTES)
    }

    /// The idle timeout of sessions.
    pub fn session_idle(&self) -> TimeDelta {
        TimeDelta::minutes(self.session_idle_minutes().into())
    }
}

impl Aggregate for SignInPolicy {
    const TYPE: &'static str = "auth.sign_in_policy";
    const FORM: u32 = 2;
    type Command = SignInPolicyCommand;
    type Event = SignInPolicyEvent;
    type Error = Infallible;

    fn decide(&self, command: SignInPolicyCommand) -> Result<Vec<SignInPolicyEvent>, Infallible> {
        Ok(match command {
            SignInPolicyCommand::RequireSecondFactor(of) if of == self.second_factor => vec![],
            SignInPolicyCommand::RequireSecondFactor(of) => vec![SecondFactorRequired { of }.into()],
            SignInPolicyCommand::LimitIdleSessions(minutes) if minutes == self.session_idle_minutes() => vec![],
            SignInPolicyCommand::LimitIdleSessions(minutes) => vec![SessionIdleLimitSet { minutes }.into()],
        })
    }

    fn evolve(&mut self, event: SignInPolicyEvent) {
        match event {
            SignInPolicyEvent::SecondFactorRequired(e) => self.second_factor = e.of,
            SignInPolicyEvent::SessionIdleLimitSet(e) => self.session_idle_minutes = Some(e.minutes),
        }
    }
}

kernel::aggregate!(SignInPolicy);

#[cfg(test)]
mod tests {
    use cqrs_es::test::TestFramework;

    use super::*;

    #[test]
    fn a_policy_is_set_and_the_same_again_is_no_event() {
        let set = |of| SignInPolicyCommand::RequireSecondFactor(of);
        let required = |of| SignInPolicyEvent::from(SecondFactorRequired { of });
        let given = || TestFramework::<SignInPolicy>::with(()).given(vec![required(RequiredOf::Admins)]);
        given().when(set(RequiredOf::Admins)).then_expect_events(vec![]);
        given().when(set(RequiredOf::Off)).then_expect_events(vec![required(RequiredOf::Off)]);
        let none = || TestFramework::<SignInPolicy>::with(()).given_no_previous_events();
        none().when(set(RequiredOf::Off)).then_expect_events(vec![]);
        let (limit, limited) = (SignInPolicyCommand::LimitIdleSessions, |minutes| SessionIdleLimitSet { minutes });
        none().when(limit(SESSION_IDLE_MINUTES)).then_expect_events(vec![]);
        none().when(limit(30)).then_expect_events(vec![limited(30).into()]);
        let given = TestFramework::<SignInPolicy>::with(()).given(vec![limited(30).into()]);
        given.when(limit(SESSION_IDLE_MINUTES)).then_expect_events(vec![limited(SESSION_IDLE_MINUTES).into()]);
    }
}
