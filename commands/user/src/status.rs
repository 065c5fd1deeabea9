//! Whether a user may sign in: lock and unlock, deactivate and reactivate, remove, erase.

use executor::{AskedJob, Command, Work};
use kernel::{Checks, Refusal, UserId};
use user_aggregates::{
    Invitation, InvitationCommand, Owners, OwnersCommand, Tenant, TenantCommand, User, UserCommand, UserStatus,
};

use crate::access::{self, Catalogue};
use crate::profile::{caller_as_user, not_a_user};
use crate::recent_sign_in::require_recent_sign_in;
use crate::tenant::owner_invitation;
use crate::user::LOGIN;
use crate::{lengths, owners};

/// Locks a user: they can't sign in, because something is wrong.
#[derive(Clone, Debug)]
pub struct LockUser {
    pub user: UserId,
    pub reason: String,
    pub catalogue: Catalogue,
}

/// Unlocks a user.
#[derive(Clone, Debug)]
pub struct UnlockUser {
    pub user: UserId,
    pub catalogue: Catalogue,
}

/// Deactivates a user who does not work here for now.
#[derive(Clone, Debug)]
pub struct DeactivateUser {
    pub user: UserId,
    pub reason: Option<String>,
    pub catalogue: Catalogue,
}

/// Reactivates a user.
#[derive(Clone, Debug)]
pub struct ReactivateUser {
    pub user: UserId,
    pub catalogue: Catalogue,
}

/// Removes a user, and releases their login names.
#[derive(Clone, Debug)]
pub struct RemoveUser {
    pub user: UserId,
    pub catalogue: Catalogue,
}

/// Erases a user: all personal data becomes unreadable.
#[derive(Clone, Debug)]
pub struct EraseUser {
    pub user: UserId,
    pub catalogue: Catalogue,
    /// The job that deletes stored files with the user's data. Enqueued in the append, only once: not if the user was erased before.
    pub forget: AskedJob,
}

/// As [`EraseUser`], by the user themselves.
#[derive(Clone, Debug)]
pub struct EraseOneself {
    /// The user's own e-mail address, as a confirmation.
    pub email: String,
    /// As in [`EraseUser`].
    pub forget: AskedJob,
}

/// Changes a user's status if the caller may act on this user.
async fn authorize_and_change(
    work: &mut Work<'_>,
    user: UserId,
    catalogue: &Catalogue,
    command: UserCommand,
) -> Result<(), Refusal> {
    let before = work.read::<User>(user).await?;
    access::authorize_over(work, catalogue, &before).await?;
    change(work, user, command).await
}

/// Changes a user's status. A user who is removed or erased releases their login names.
async fn change(work: &mut Work<'_>, user: UserId, command: UserCommand) -> Result<(), Refusal> {
    let before = work.read::<User>(user).await?;
    owners::change(work, user, command).await?;
    let present = work.read::<User>(user).await?.status.is_present();
    if before.status.is_present() && !present {
        for name in before.login.names() {
            work.release(&LOGIN, name, user);
        }
    }
    Ok(())
}

impl Command for LockUser {
    const PERMISSION: &'static str = "user:user:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let mut checks = Checks::default();
        let reason = checks.paragraph("/reason", &self.reason, lengths::REASON);
        checks.finish()?;
        authorize_and_change(work, self.user, &self.catalogue, UserCommand::Lock { reason }).await
    }
}

impl Command for UnlockUser {
    const PERMISSION: &'static str = "user:user:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        authorize_and_change(work, self.user, &self.catalogue, UserCommand::Unlock).await
    }
}

impl Command for DeactivateUser {
    const PERMISSION: &'static str = "user:user:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let mut checks = Checks::default();
        let reason = self.reason.as_deref().map(|text| checks.paragraph("/reason", text, lengths::REASON));
        checks.finish()?;
        authorize_and_change(work, self.user, &self.catalogue, UserCommand::Deactivate { reason }).await
    }
}

impl Command for ReactivateUser {
    const PERMISSION: &'static str = "user:user:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        authorize_and_change(work, self.user, &self.catalogue, UserCommand::Reactivate).await
    }
}

impl Command for RemoveUser {
    const PERMISSION: &'static str = "user:user:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        authorize_and_change(work, self.user, &self.catalogue, UserCommand::Remove).await
    }
}

impl Command for EraseUser {
    const PERMISSION: &'static str = "user:user:erase";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        if work.load_lossy::<User>(self.user).await? {
            let before = work.read::<User>(self.user).await?;
            access::authorize_over(work, &self.catalogue, &before).await?;
        } else {
            access::authorize_over_anybody(work, &self.catalogue)?;
        }
        erase(work, self.user, &self.forget).await
    }
}

impl Command for EraseOneself {
    const PERMISSION: &'static str = "user:self:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let mut checks = Checks::default();
        let email = checks.email("/email", &self.email);
        checks.finish()?;
        let user = caller_as_user(work)?;
        require_recent_sign_in(work.caller(), work.now())?;
        let whole = work.load_lossy::<User>(user).await?;
        let known = work.find::<User>(user).await?.ok_or_else(not_a_user)?;
        let mut confirmed = kernel::folded(known.login.email.reveal()) == email;
        if !whole && !confirmed {
            // An event that can't be decoded may have changed the address. The claim then tells whose address it is.
            let holders = work.holders(&LOGIN, [email.as_str()]).await?;
            confirmed = holders.get(email.as_str()).is_some_and(|holder| *holder == user.to_string());
            if confirmed {
                work.release(&LOGIN, &email, user);
            }
        }
        if !confirmed {
            let detail = "to confirm the erasure, send your own e-mail address; this is a different one";
            return Err(Refusal::conflict("not_confirmed", detail));
        }
        erase(work, user, &self.forget).await
    }
}

/// Erases a user and their data in other aggregates, even if some of their events can't be decoded.
async fn erase(work: &mut Work<'_>, user: UserId, forget: &AskedJob) -> Result<(), Refusal> {
    let tenant = work.caller().tenant();
    let whole = work.load_lossy::<User>(user).await?;
    let before = work.read::<User>(user).await?;
    change(work, user, UserCommand::Erase).await?;
    if !whole {
        // The user's state may be wrong about ownership, so the user is removed from the list of owners in any case.
        work.upsert::<Owners>(tenant, OwnersCommand::Remove { user }).await?;
    }
    if before.status != UserStatus::Erased {
        work.enqueue(forget.clone());
    }
    let invitation = before.invitation;
    // The user's invitation also has personal data.
    let Some(invitation) = invitation else { return Ok(()) };
    work.load_lossy::<Invitation>(invitation).await?;
    work.update::<Invitation>(invitation, InvitationCommand::Erase).await?;
    if invitation != owner_invitation(tenant) {
        return Ok(());
    }
    work.load_lossy::<Tenant>(tenant).await?;
    if work.find::<Tenant>(tenant).await?.is_some() {
        work.update::<Tenant>(tenant, TenantCommand::EraseOwner).await?;
    }
    Ok(())
}
