//! Whether a user may sign in: lock and unlock, deactivate and reactivate, remove, erase.

use executor::{AskedJob, Command, Work};
use kernel::{Checks, Refusal, UserId};
use user_aggregates::{
    Invitation, InvitationCommand, Owners, OwnersCommand, Tenant, TenantCommand, User, UserCommand, UserStatus,
};

use crate::access::{self, Catalogue};
use crate::profile::oneself;
use crate::sure::sure;
use crate::tenant::owner_invitation;
use crate::user::LOGIN;
use crate::values::present;
use crate::{lengths, owners};

/// They may not sign in for now, because something is wrong.
#[derive(Clone, Debug)]
pub struct LockUser {
    pub user: UserId,
    pub reason: String,
    pub catalogue: Catalogue,
}

/// They may sign in again.
#[derive(Clone, Debug)]
pub struct UnlockUser {
    pub user: UserId,
    pub catalogue: Catalogue,
}

/// They do not work here for now.
#[derive(Clone, Debug)]
pub struct DeactivateUser {
    pub user: UserId,
    pub reason: Option<String>,
    pub catalogue: Catalogue,
}

/// They work here again.
#[derive(Clone, Debug)]
pub struct ReactivateUser {
    pub user: UserId,
    pub catalogue: Catalogue,
}

/// They are no user any more; what they signed in with is free again.
#[derive(Clone, Debug)]
pub struct RemoveUser {
    pub user: UserId,
    pub catalogue: Catalogue,
}

/// Nothing that tells who they were is kept any more.
#[derive(Clone, Debug)]
pub struct EraseUser {
    pub user: UserId,
    pub catalogue: Catalogue,
    /// What removes the files in which they still are. Asked for in the append, once: when they were erased before, so was it.
    pub forget: AskedJob,
}

/// The same for oneself.
#[derive(Clone, Debug)]
pub struct EraseOneself {
    /// One's own e-mail address: that it is meant.
    pub email: String,
    /// As of [`EraseUser`].
    pub forget: AskedJob,
}

/// Does that if the caller may act on them.
async fn turn(work: &mut Work<'_>, user: UserId, catalogue: &Catalogue, command: UserCommand) -> Result<(), Refusal> {
    let before = work.read::<User>(user).await?;
    access::over(work, catalogue, &before).await?;
    change(work, user, command).await
}

/// Changes whether a user may sign in. Who is no user any more gives back what they signed in with.
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
        turn(work, self.user, &self.catalogue, UserCommand::Lock { reason }).await
    }
}

impl Command for UnlockUser {
    const PERMISSION: &'static str = "user:user:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        turn(work, self.user, &self.catalogue, UserCommand::Unlock).await
    }
}

impl Command for DeactivateUser {
    const PERMISSION: &'static str = "user:user:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let mut checks = Checks::default();
        let reason = present(self.reason.as_ref(), |text| checks.paragraph("/reason", text, lengths::REASON));
        checks.finish()?;
        turn(work, self.user, &self.catalogue, UserCommand::Deactivate { reason }).await
    }
}

impl Command for ReactivateUser {
    const PERMISSION: &'static str = "user:user:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        turn(work, self.user, &self.catalogue, UserCommand::Reactivate).await
    }
}

impl Command for RemoveUser {
    const PERMISSION: &'static str = "user:user:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        turn(work, self.user, &self.catalogue, UserCommand::Remove).await
    }
}

impl Command for EraseUser {
    const PERMISSION: &'static str = "user:user:erase";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        if work.salvage::<User>(self.user).await? {
            let before = work.read::<User>(self.user).await?;
            access::over(work, &self.catalogue, &before).await?;
        } else {
            access::over_anybody(work, &self.catalogue).await?;
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
        let user = oneself(work)?;
        sure(work.caller(), work.now())?;
        let whole = work.salvage::<User>(user).await?;
        let mut confirmed = kernel::folded(work.read::<User>(user).await?.login.email.reveal()) == email;
        if !whole && !confirmed {
            // That they have another one now is perhaps what can't be read: then the claim says whose it is.
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

/// Erases a user, with all that says who they are; where something of it can't be read, by what can.
async fn erase(work: &mut Work<'_>, user: UserId, forget: &AskedJob) -> Result<(), Refusal> {
    let tenant = work.caller().tenant();
    let whole = work.salvage::<User>(user).await?;
    let before = work.read::<User>(user).await?;
    change(work, user, UserCommand::Erase).await?;
    if !whole {
        // Whether they were an owner, the owners know.
        work.upsert::<Owners>(tenant, OwnersCommand::Remove { user }).await?;
    }
    if before.status != UserStatus::Erased {
        work.enqueue(forget.clone());
    }
    let invitation = before.invitation;
    // Who they are stands in what was sent to them, too.
    let Some(invitation) = invitation else { return Ok(()) };
    work.salvage::<Invitation>(invitation).await?;
    work.update::<Invitation>(invitation, InvitationCommand::Erase).await?;
    if invitation != owner_invitation(tenant) {
        return Ok(());
    }
    work.salvage::<Tenant>(tenant).await?;
    if work.find::<Tenant>(tenant).await?.is_some() {
        work.update::<Tenant>(tenant, TenantCommand::EraseOwner).await?;
    }
    Ok(())
}
