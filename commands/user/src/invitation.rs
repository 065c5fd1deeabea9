//! Invitations: somebody is asked by mail to become a user, and accepts.

use executor::{ClaimKind, Command, Work};
use kernel::{Checks, Personal, Refusal, UserId};
use serde::{Deserialize, Serialize};
use user_aggregates::{
    GroupId, INVITATION_GOOD_FOR, Invitation, InvitationCommand, InvitationError, InvitationFault, InvitationId,
    InvitationSent, Login, UserRegistered,
};

use crate::access::{self, Catalogue, within_own};
use crate::user::{LOGIN, begin, beginnings, named};
use crate::values::{self, present};
use crate::{lengths, references, registration};

/// An address has one invitation at a time.
pub(crate) static EMAIL: ClaimKind = ClaimKind {
    name: "user.invitation.email",
    code: "invited_already",
    detail: "this e-mail address is already invited (holder); resend that invitation, or revoke it first",
};

/// Asks somebody by mail to become a user.
#[derive(Clone, Debug)]
pub struct InviteUser {
    pub email: String,
    /// Who it is, as far as known.
    pub name: Option<String>,
    /// The roles that they begin with.
    pub roles: Vec<String>,
    /// The groups that they begin in.
    pub groups: Vec<GroupId>,
    pub catalogue: Catalogue,
}

/// Sends a new link, and makes the old one worthless, unless it is the policy's. Who may is who may give what the invitation gives: one that
/// expired gives it anew.
#[derive(Clone, Debug)]
pub struct ResendInvitation {
    pub invitation: InvitationId,
    pub catalogue: Catalogue,
}

/// Takes an invitation back. Who may is who may give what it gives.
#[derive(Clone, Debug)]
pub struct RevokeInvitation {
    pub invitation: InvitationId,
    pub catalogue: Catalogue,
}

/// An invitation's link was followed: who followed it becomes a user.
#[derive(Clone, Debug)]
pub struct AcceptInvitation {
    pub invitation: InvitationId,
    /// Which of the links that were sent.
    pub turn: u32,
    /// Their name, as they want it.
    pub name: String,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Acceptance {
    /// They are a user.
    Accepted { user: UserId },
    /// The link is not good, which is on record now. (When it was before, the command is refused with `link_not_good`.)
    Refused { reason: InvitationFault },
}

impl Command for InviteUser {
    const PERMISSION: &'static str = "user:invitation:write";
    type Answer = InvitationId;

    async fn run(&self, work: &mut Work<'_>) -> Result<InvitationId, Refusal> {
        let mut checks = Checks::default();
        let email = checks.email("/email", &self.email);
        let name = present(self.name.as_ref(), |text| checks.line("/name", text, lengths::NAME).into());
        let roles = values::few(&mut checks, "/roles", &self.roles, lengths::ROLES);
        let groups = values::few(&mut checks, "/groups", &self.groups, lengths::GROUPS);
        checks.finish()?;
        beginnings(work, &self.catalogue, &roles, &groups).await?;
        registration::give_way(work, &email).await?;
        send(work, email, name, roles, groups, false)
    }
}

/// Sends an invitation to somebody who is neither a user nor invited.
pub(crate) fn send(
    work: &mut Work<'_>,
    email: String,
    name: Option<Personal<String>>,
    roles: Vec<String>,
    groups: Vec<GroupId>,
    by_policy: bool,
) -> Result<InvitationId, Refusal> {
    let invitation: InvitationId = work.new_id();
    work.absent(&LOGIN, &email, invitation);
    work.take(&EMAIL, &email, invitation);
    let expires_at = kernel::to_micros(work.now() + INVITATION_GOOD_FOR);
    let sent = InvitationSent { email: email.into(), name, roles, groups, by_policy, expires_at };
    work.create::<Invitation>(invitation, InvitationCommand::Send(sent))?;
    Ok(invitation)
}

impl Command for ResendInvitation {
    const PERMISSION: &'static str = "user:invitation:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let invitation = work.read::<Invitation>(self.invitation).await?;
        over(work, &self.catalogue, &invitation).await?;
        let expires_at = kernel::to_micros(work.now() + INVITATION_GOOD_FOR);
        work.update::<Invitation>(self.invitation, InvitationCommand::Resend { expires_at }).await
    }
}

impl Command for RevokeInvitation {
    const PERMISSION: &'static str = "user:invitation:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let invitation = work.read::<Invitation>(self.invitation).await?;
        over(work, &self.catalogue, &invitation).await?;
        take_back(work, self.invitation).await
    }
}

/// Refuses to act on an invitation that gives more than the caller has.
async fn over(work: &mut Work<'_>, catalogue: &Catalogue, invitation: &Invitation) -> Result<(), Refusal> {
    let mut given = invitation.roles.clone();
    for group in &invitation.groups {
        given.extend(access::group_roles(work, *group).await?);
    }
    within_own(work, catalogue, given).await
}

/// Takes an invitation back, whatever it gives.
pub(crate) async fn take_back(work: &mut Work<'_>, id: InvitationId) -> Result<(), Refusal> {
    let invitation = work.read::<Invitation>(id).await?;
    work.update::<Invitation>(id, InvitationCommand::Revoke).await?;
    work.release(&EMAIL, invitation.email.reveal(), id);
    Ok(())
}

impl AcceptInvitation {
    /// Puts on record that the link was followed in vain.
    async fn refuse(
        &self,
        work: &mut Work<'_>,
        invitation: &Invitation,
        reason: InvitationFault,
    ) -> Result<Acceptance, Refusal> {
        // It is already: whoever follows it again, and needs no token for that, writes nothing at all.
        if invitation.refused.contains(&self.turn) {
            return Err(InvitationError::Link.into());
        }
        let refuse = InvitationCommand::Refuse { turn: self.turn, reason };
        work.update::<Invitation>(self.invitation, refuse).await?;
        Ok(Acceptance::Refused { reason })
    }
}

impl Command for AcceptInvitation {
    const PERMISSION: &'static str = "user:invitation:accept";
    type Answer = Acceptance;

    async fn run(&self, work: &mut Work<'_>) -> Result<Acceptance, Refusal> {
        let mut checks = Checks::default();
        let name = checks.line("/name", &self.name, lengths::NAME);
        checks.finish()?;
        let (invitation, at) = (work.read::<Invitation>(self.invitation).await?, work.now());
        if let Err(reason) = invitation.link(self.turn, at) {
            return self.refuse(work, &invitation, reason).await;
        }
        let mut roles = invitation.roles.clone();
        if invitation.by_policy {
            // It counts what the policy says now: it may have been closed since, or give less.
            let Some(given) = registration::admitted(work, invitation.email.reveal()).await? else {
                return self.refuse(work, &invitation, InvitationFault::Revoked).await;
            };
            roles.retain(|role| given.contains(role));
        }
        let user: UserId = work.new_id();
        let accept = InvitationCommand::Accept { turn: self.turn, at, user };
        work.update::<Invitation>(self.invitation, accept).await?;
        work.release(&EMAIL, invitation.email.reveal(), self.invitation);
        // What was dissolved since is left out: the invitation is still good for the rest.
        let mut groups = Vec::with_capacity(invitation.groups.len());
        for group in &invitation.groups {
            if references::existing_group(work, *group, "").await.is_ok() {
                groups.push(*group);
            }
        }
        let registered = UserRegistered {
            login: Login { email: invitation.email.clone(), user_name: None },
            email_verified: true,
            profile: named(name.into()),
            roles,
            groups,
            invitation: Some(self.invitation),
        };
        begin(work, user, registered).await?;
        Ok(Acceptance::Accepted { user })
    }
}
