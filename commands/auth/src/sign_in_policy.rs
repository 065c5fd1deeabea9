//! What can be asked of a tenant's policy of signing in.

use auth_aggregates::{RequiredOf, SignInPolicy, SignInPolicyCommand};
use executor::{Command, Work};
use kernel::Refusal;

/// Says who must have a second factor.
#[derive(Clone, Copy, Debug)]
pub struct RequireSecondFactor {
    pub of: RequiredOf,
}

impl Command for RequireSecondFactor {
    const PERMISSION: &'static str = "auth:policy:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let tenant = work.caller().tenant();
        work.upsert::<SignInPolicy>(tenant, SignInPolicyCommand::RequireSecondFactor(self.of)).await
    }
}
