//! Changes of users by which they become owners of the tenant, or cease to be.

use executor::Work;
use kernel::{Refusal, UserId};
use user_aggregates::{Owners, OwnersCommand, User, UserCommand};

/// Asks a user for something, and keeps the owners true in the same append: the last one stays one.
pub(crate) async fn change(work: &mut Work<'_>, user: UserId, command: UserCommand) -> Result<(), Refusal> {
    let before = work.read::<User>(user).await?.is_owner();
    work.update::<User>(user, command).await?;
    settle(work, user, before).await
}

/// Keeps the owners true after a user began or changed; `before`: whether they were one.
pub(crate) async fn settle(work: &mut Work<'_>, user: UserId, before: bool) -> Result<(), Refusal> {
    let after = work.read::<User>(user).await?.is_owner();
    let command = match (before, after) {
        (false, true) => OwnersCommand::Add { user },
        (true, false) => OwnersCommand::Remove { user },
        _ => return Ok(()),
    };
    let tenant = work.caller().tenant();
    work.upsert::<Owners>(tenant, command).await
}
