//! The command of a tenant's sign-in policy.

use std::ops::RangeInclusive;

use auth_aggregates::{RequiredOf, SignInPolicy, SignInPolicyCommand};
use executor::{Command, Work};
use kernel::{Checks, Refusal};

use crate::reach::Reach;

/// The allowed idle timeout of a session in minutes. The minimum is twice the lifetime of an access token, because an application's token
/// refresh is what counts as use; the maximum is the longest lifetime of a session.
pub const IDLE_MINUTES: RangeInclusive<u32> = 30..=14 * 24 * 60;

/// Changes the sign-in policy; a field that is `None` keeps its value. To weaken it needs all permissions of administrators, since it protects
/// their accounts, too.
#[derive(Clone, Debug)]
pub struct SetSignInPolicy {
    /// Which users must have a second factor.
    pub second_factor: Option<RequiredOf>,
    /// The idle timeout of sessions, in minutes.
    pub session_idle_minutes: Option<u32>,
    pub reach: Reach,
}

impl Command for SetSignInPolicy {
    const PERMISSION: &'static str = "auth:policy:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let mut checks = Checks::default();
        if let Some(minutes) = self.session_idle_minutes.filter(|minutes| !IDLE_MINUTES.contains(minutes)) {
            let (least, most) = (IDLE_MINUTES.start(), IDLE_MINUTES.end());
            checks.refuse(
                "/session_idle_minutes",
                "out_of_range",
                format!("{minutes} minutes; allowed are {least} to {most}"),
            );
        }
        if self.second_factor.is_none() && self.session_idle_minutes.is_none() {
            checks.refuse("", "empty", "nothing to change; send second_factor, session_idle_minutes, or both");
        }
        checks.finish()?;
        let tenant = work.caller().tenant();
        let before = work.find::<SignInPolicy>(tenant).await?.unwrap_or_default();
        let weaker = self.second_factor.is_some_and(|of| of < before.second_factor)
            || self.session_idle_minutes.is_some_and(|minutes| minutes > before.session_idle_minutes());
        if weaker {
            self.reach.over_anybody(work.caller()).await?;
        }
        if let Some(of) = self.second_factor {
            work.upsert::<SignInPolicy>(tenant, SignInPolicyCommand::RequireSecondFactor(of)).await?;
        }
        if let Some(minutes) = self.session_idle_minutes {
            work.upsert::<SignInPolicy>(tenant, SignInPolicyCommand::LimitIdleSessions(minutes)).await?;
        }
        Ok(())
    }
}
