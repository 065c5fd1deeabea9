//! What can be asked of a tenant's policy of signing in.

use std::ops::RangeInclusive;

use auth_aggregates::{RequiredOf, SignInPolicy, SignInPolicyCommand};
use executor::{Command, Work};
use kernel::{Checks, Refusal};

/// How many minutes without use may end a session: from twice as long as an access token is good (who uses an application has its token
/// renewed in the session), to as long as a session lasts at all.
pub const IDLE_MINUTES: RangeInclusive<u32> = 30..=14 * 24 * 60;

/// Says what the tenant asks of those who sign in; of what is none it stays as it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct SetSignInPolicy {
    /// Who must have a second factor.
    pub second_factor: Option<RequiredOf>,
    /// After how many minutes without use a session ends.
    pub session_idle_minutes: Option<u32>,
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
        if let Some(of) = self.second_factor {
            work.upsert::<SignInPolicy>(tenant, SignInPolicyCommand::RequireSecondFactor(of)).await?;
        }
        if let Some(minutes) = self.session_idle_minutes {
            work.upsert::<SignInPolicy>(tenant, SignInPolicyCommand::LimitIdleSessions(minutes)).await?;
        }
        Ok(())
    }
}
