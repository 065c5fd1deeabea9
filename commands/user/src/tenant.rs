//! Tenants: asked for by whoever operates the platform, made by a saga, suspended and resumed, deleted by another saga.

use chrono::{DateTime, Duration, Utc};
use executor::{Command, Work};
use kernel::{Checks, Refusal, Role, TenantId, is_slug};
use user_aggregates::{
    INVITATION_GOOD_FOR, Invitation, InvitationCommand, InvitationId, InvitationSent, Tenant, TenantCommand,
    TenantRequested,
};
use uuid::Uuid;

use crate::invitation::{EMAIL, take_back};
use crate::lengths;
use crate::user::LOGIN;
use crate::values::present;

/// Asks for a tenant: the caller's own, which has no place yet. A saga makes it.
#[derive(Clone, Debug)]
pub struct RequestTenant {
    /// Its short name, in addresses.
    pub slug: String,
    /// Its name for people.
    pub name: String,
    /// Where the invitation of its first owner goes.
    pub owner: Option<String>,
}

/// Its place is made.
#[derive(Clone, Copy, Debug)]
pub struct ActivateTenant;

/// Its place could not be made.
#[derive(Clone, Copy, Debug)]
pub struct AbandonTenant;

/// Invites its first owner.
#[derive(Clone, Copy, Debug)]
pub struct InviteOwner;

/// Takes that invitation back: the tenant does not come to be.
#[derive(Clone, Copy, Debug)]
pub struct RevokeOwnerInvitation;

/// The invitation of a tenant's first owner: whoever has to take it back knows it, however far it came.
pub fn owner_invitation(tenant: TenantId) -> InvitationId {
    InvitationId::new(Uuid::new_v5(&tenant.uuid(), b"user.tenant owner"))
}

/// Nobody of it may do anything for now.
#[derive(Clone, Debug)]
pub struct SuspendTenant {
    pub reason: String,
}

/// It can be used again.
#[derive(Clone, Copy, Debug)]
pub struct ResumeTenant;

/// The longest that a tenant can be restored, in days.
pub const LONGEST_GRACE: u32 = 3_650;

/// It is to be deleted, and nobody of it may do anything from now on.
#[derive(Clone, Debug)]
pub struct RequestTenantDeletion {
    pub reason: String,
    /// For so many days it can be restored.
    pub grace_days: u32,
}

/// It is not deleted after all.
#[derive(Clone, Copy, Debug)]
pub struct RestoreTenant;

/// It is deleted, if its time has come.
#[derive(Clone, Copy, Debug)]
pub struct DeleteTenant;

fn slug(checks: &mut Checks, pointer: &str, text: &str) -> String {
    if !is_slug(text) {
        checks.refuse(pointer, "slug", "allowed are 2 to 40 letters a-z, digits and hyphens, beginning with a letter");
    }
    text.to_owned()
}

impl Command for RequestTenant {
    const PERMISSION: &'static str = "user:tenant:operate";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let mut checks = Checks::default();
        let slug = slug(&mut checks, "/slug", &self.slug);
        let name = checks.line("/name", &self.name, lengths::NAME);
        let owner = present(self.owner.as_ref(), |text| checks.email("/owner", text).into());
        checks.finish()?;
        let tenant = work.caller().tenant();
        work.create::<Tenant>(tenant, TenantCommand::Request(TenantRequested { slug, name, owner }))
    }
}

/// Asks the caller's tenant for something.
async fn ask(work: &mut Work<'_>, command: TenantCommand) -> Result<(), Refusal> {
    let tenant = work.caller().tenant();
    work.update::<Tenant>(tenant, command).await
}

impl Command for ActivateTenant {
    const PERMISSION: &'static str = "user:tenant:operate";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        ask(work, TenantCommand::Activate).await
    }
}

impl Command for AbandonTenant {
    const PERMISSION: &'static str = "user:tenant:operate";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        ask(work, TenantCommand::Abandon).await
    }
}

impl Command for InviteOwner {
    const PERMISSION: &'static str = "user:tenant:operate";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let tenant = work.caller().tenant();
        // Nobody was named: whoever operates the platform gives the first token.
        let Some(email) = work.read::<Tenant>(tenant).await?.owner.clone() else { return Ok(()) };
        let invitation = owner_invitation(tenant);
        work.absent(&LOGIN, email.reveal(), invitation);
        work.take(&EMAIL, email.reveal(), invitation);
        let expires_at = kernel::to_micros(work.now() + INVITATION_GOOD_FOR);
        let roles = vec![Role::Admin.as_str().to_owned()];
        let sent = InvitationSent { email, name: None, roles, groups: vec![], by_policy: false, expires_at };
        work.create::<Invitation>(invitation, InvitationCommand::Send(sent))
    }
}

impl Command for RevokeOwnerInvitation {
    const PERMISSION: &'static str = "user:tenant:operate";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        take_back(work, owner_invitation(work.caller().tenant())).await
    }
}

impl Command for SuspendTenant {
    const PERMISSION: &'static str = "user:tenant:operate";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let mut checks = Checks::default();
        let reason = checks.paragraph("/reason", &self.reason, lengths::REASON);
        checks.finish()?;
        ask(work, TenantCommand::Suspend { reason }).await
    }
}

impl Command for ResumeTenant {
    const PERMISSION: &'static str = "user:tenant:operate";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        ask(work, TenantCommand::Resume).await
    }
}

impl Command for RequestTenantDeletion {
    const PERMISSION: &'static str = "user:tenant:operate";
    /// When it is deleted.
    type Answer = DateTime<Utc>;

    async fn run(&self, work: &mut Work<'_>) -> Result<DateTime<Utc>, Refusal> {
        let mut checks = Checks::default();
        let reason = checks.paragraph("/reason", &self.reason, lengths::REASON);
        if self.grace_days > LONGEST_GRACE {
            let detail = format!("{} days are not allowed; allowed are 0 to {LONGEST_GRACE}", self.grace_days);
            checks.refuse("/grace_days", "grace_days", detail);
        }
        checks.finish()?;
        let due_at = kernel::to_micros(work.now() + Duration::days(self.grace_days.into()));
        ask(work, TenantCommand::RequestDeletion { reason, due_at }).await?;
        let tenant = work.read::<Tenant>(work.caller().tenant()).await?;
        Ok(tenant.deletion.map_or(due_at, |deletion| deletion.due_at))
    }
}

impl Command for RestoreTenant {
    const PERMISSION: &'static str = "user:tenant:operate";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        ask(work, TenantCommand::Restore).await
    }
}

impl Command for DeleteTenant {
    const PERMISSION: &'static str = "user:tenant:operate";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let now = work.now();
        ask(work, TenantCommand::Delete { now }).await
    }
}
