//! Tenants: requested by the platform's operators, provisioned by a saga, suspended and resumed, and deleted by another saga.

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

/// Requests a tenant: the caller's own, which is not provisioned yet. A saga provisions it.
#[derive(Clone, Debug)]
pub struct RequestTenant {
    /// Its short name (slug) for addresses.
    pub slug: String,
    /// Its display name.
    pub name: String,
    /// The e-mail address to which the first owner's invitation is sent.
    pub owner: Option<String>,
}

/// Records that the tenant is provisioned.
#[derive(Clone, Copy, Debug)]
pub struct ActivateTenant;

/// Records that provisioning failed.
#[derive(Clone, Copy, Debug)]
pub struct AbandonTenant;

/// Invites the tenant's first owner.
#[derive(Clone, Copy, Debug)]
pub struct InviteOwner;

/// Revokes the first owner's invitation, because provisioning failed.
#[derive(Clone, Copy, Debug)]
pub struct RevokeOwnerInvitation;

/// The id of the invitation of a tenant's first owner. It is derived from the tenant's id, so that compensation can revoke the invitation
/// however far provisioning got.
pub fn owner_invitation(tenant: TenantId) -> InvitationId {
    InvitationId::new(Uuid::new_v5(&tenant.uuid(), b"user.tenant owner"))
}

/// Suspends a tenant: all requests of its callers are refused.
#[derive(Clone, Debug)]
pub struct SuspendTenant {
    pub reason: String,
}

/// Resumes a suspended tenant.
#[derive(Clone, Copy, Debug)]
pub struct ResumeTenant;

/// Maximum grace period in which a tenant can be restored, in days.
pub const LONGEST_GRACE: u32 = 3_650;

/// Schedules a tenant's deletion. All requests of its callers are refused from now on.
#[derive(Clone, Debug)]
pub struct RequestTenantDeletion {
    pub reason: String,
    /// The grace period in which it can be restored, in days.
    pub grace_days: u32,
}

/// Cancels a scheduled deletion.
#[derive(Clone, Copy, Debug)]
pub struct RestoreTenant;

/// Deletes a tenant if its grace period has ended.
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
        let owner = self.owner.as_deref().map(|text| checks.email("/owner", text).into());
        checks.finish()?;
        let tenant = work.caller().tenant();
        work.create::<Tenant>(tenant, TenantCommand::Request(TenantRequested { slug, name, owner }))
    }
}

/// Sends a command to the caller's tenant.
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
        // No owner was named: the platform's operators issue the first token.
        let Some(email) = work.read::<Tenant>(tenant).await?.owner.clone() else { return Ok(()) };
        let invitation = owner_invitation(tenant);
        work.absent(&LOGIN, email.reveal(), invitation);
        work.take(&EMAIL, email.reveal(), invitation);
        let expires_at = kernel::to_micros(work.now() + INVITATION_GOOD_FOR);
        let roles = vec![Role::Admin.as_str().to_owned()];
        let sent =
            InvitationSent { email, name: None, roles, groups: vec![], by_policy: false, sent_by: None, expires_at };
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
    /// When it will be deleted.
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
