//! Keeps the tenant's list of owners consistent with changes of users.

use executor::Work;
use kernel::{Refusal, UserId};
use user_aggregates::{Owners, OwnersCommand, User, UserCommand};

/// Sends a command to a user and updates the owners in the same append. Refused if the tenant would lose its last owner.
pub(crate) async fn change(work: &mut Work<'_>, user: UserId, command: UserCommand) -> Result<(), Refusal> {
    let before = work.read::<User>(user).await?.is_owner();
    work.update::<User>(user, command).await?;
    update_owners(work, user, before).await
}

/// Updates the owners after a user was registered or changed. `before`: whether the user was an owner before.
pub(crate) async fn update_owners(work: &mut Work<'_>, user: UserId, before: bool) -> Result<(), Refusal> {
    let after = work.read::<User>(user).await?.is_owner();
    let command = match (before, after) {
        (false, true) => OwnersCommand::Add { user },
        (true, false) => OwnersCommand::Remove { user },
        _ => return Ok(()),
    };
    let tenant = work.caller().tenant();
    work.upsert::<Owners>(tenant, command).await
}
