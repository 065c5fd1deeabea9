//! Invitations: a person gets a link by mail, and becomes a user by accepting.

use executor::{ClaimKind, Command, Standing, Work};
use kernel::{Checks, Personal, Refusal, UserId};
use serde::{Deserialize, Serialize};
use user_aggregates::{
    GroupId, INVITATION_GOOD_FOR, Invitation, InvitationCommand, InvitationError, InvitationFault, InvitationId,
    InvitationSent, Login, UserRegistered,
};
use uuid::Uuid;

use crate::access::{self, Catalogue, SubjectsInLog, require_within_own};
use crate::user::{LOGIN, begin, check_initial_access, named};
use crate::{lengths, references, registration};

/// Claims on e-mail addresses of open invitations: an address has at most one.
pub(crate) static EMAIL: ClaimKind = ClaimKind {
    name: "user.invitation.email",
    code: "invited_already",
    detail: "this e-mail address is already invited (holder); resend that invitation, or revoke it first",
};

/// Invites a person by mail.
#[derive(Clone, Debug)]
pub struct InviteUser {
    pub email: String,
    /// The person's name, if known.
    pub name: Option<String>,
    /// The roles that the new user gets.
    pub roles: Vec<String>,
    /// The groups that the new user joins.
    pub groups: Vec<GroupId>,
    pub catalogue: Catalogue,
}

/// Sends a new link and invalidates the old one. Not for invitations by the registration policy. The caller needs all permissions that the
/// invitation gives, because resending an expired invitation grants them again.
#[derive(Clone, Debug)]
pub struct ResendInvitation {
    pub invitation: InvitationId,
    pub catalogue: Catalogue,
}

/// Revokes an invitation. The caller needs all permissions that it gives.
#[derive(Clone, Debug)]
pub struct RevokeInvitation {
    pub invitation: InvitationId,
    pub catalogue: Catalogue,
}

/// Accepts an invitation through its link: registers the user. Refused with `inviter_not_allowed` as long as whoever sent the invitation
/// could not send it now.
#[derive(Clone, Debug)]
pub struct AcceptInvitation {
    pub invitation: InvitationId,
    /// The number of the link: each resend increases it.
    pub turn: u32,
    /// The name that the user chose.
    pub name: String,
    /// Looks up who sent the invitation.
    pub senders: SubjectsInLog,
}

/// The outcome of accepting an invitation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Acceptance {
    /// The user was registered.
    Accepted { user: UserId },
    /// The link is not valid, which was now recorded. (If it was recorded before, the command is refused with `link_not_good`.)
    Refused { reason: InvitationFault },
}

impl Command for InviteUser {
    const PERMISSION: &'static str = "user:invitation:write";
    type Answer = InvitationId;

    async fn run(&self, work: &mut Work<'_>) -> Result<InvitationId, Refusal> {
        let mut checks = Checks::default();
        let email = checks.email("/email", &self.email);
        let name = self.name.as_deref().map(|text| checks.line("/name", text, lengths::NAME).into());
        let roles = checks.distinct("/roles", &self.roles, lengths::ROLES);
        let groups = checks.distinct("/groups", &self.groups, lengths::GROUPS);
        checks.finish()?;
        check_initial_access(work, &self.catalogue, &self.roles, &self.groups).await?;
        registration::replace_registration(work, &email).await?;
        send(work, NewInvitation { email, name, roles, groups, by_policy: false })
    }
}

/// An invitation that is to be sent. Its values have been validated.
pub(crate) struct NewInvitation {
    pub email: String,
    pub name: Option<Personal<String>>,
    pub roles: Vec<String>,
    pub groups: Vec<GroupId>,
    /// Whether the person asked for it themselves, under the registration policy.
    pub by_policy: bool,
}

/// Sends an invitation. The append is refused if the address belongs to a user or has an invitation.
pub(crate) fn send(work: &mut Work<'_>, new: NewInvitation) -> Result<InvitationId, Refusal> {
    let NewInvitation { email, name, roles, groups, by_policy } = new;
    let invitation: InvitationId = work.new_id();
    work.absent(&LOGIN, &email, invitation);
    work.take(&EMAIL, &email, invitation);
    let expires_at = kernel::to_micros(work.now() + INVITATION_GOOD_FOR);
    let sent_by = sender(work);
    let sent = InvitationSent { email: email.into(), name, roles, groups, by_policy, sent_by, expires_at };
    work.create::<Invitation>(invitation, InvitationCommand::Send(sent))?;
    Ok(invitation)
}

/// The caller, if they may be a user or a machine: the subjects of these are ids.
fn sender(work: &Work<'_>) -> Option<Uuid> {
    work.caller().subject().parse().ok()
}

impl Command for ResendInvitation {
    const PERMISSION: &'static str = "user:invitation:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let invitation = work.read::<Invitation>(self.invitation).await?;
        authorize_over_invitation(work, &self.catalogue, &invitation).await?;
        let expires_at = kernel::to_micros(work.now() + INVITATION_GOOD_FOR);
        let resend = InvitationCommand::Resend { expires_at, sent_by: sender(work) };
        work.update::<Invitation>(self.invitation, resend).await
    }
}

impl Command for RevokeInvitation {
    const PERMISSION: &'static str = "user:invitation:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let invitation = work.read::<Invitation>(self.invitation).await?;
        authorize_over_invitation(work, &self.catalogue, &invitation).await?;
        take_back(work, self.invitation).await
    }
}

/// Refuses to act on an invitation that gives permissions that the caller lacks.
async fn authorize_over_invitation(
    work: &mut Work<'_>,
    catalogue: &Catalogue,
    invitation: &Invitation,
) -> Result<(), Refusal> {
    let given = roles_of(work, invitation).await?;
    require_within_own(work, catalogue, given).await
}

/// The roles that an invitation gives: its own and those of its groups.
async fn roles_of(work: &mut Work<'_>, invitation: &Invitation) -> Result<Vec<String>, Refusal> {
    let mut given = invitation.roles.clone();
    for group in &invitation.groups {
        given.extend(access::group_roles(work, *group).await?);
    }
    Ok(given)
}

/// Revokes an invitation, whatever permissions it gives.
pub(crate) async fn take_back(work: &mut Work<'_>, id: InvitationId) -> Result<(), Refusal> {
    let invitation = work.read::<Invitation>(id).await?;
    work.update::<Invitation>(id, InvitationCommand::Revoke).await?;
    work.release(&EMAIL, invitation.email.reveal(), id);
    Ok(())
}

/// The code of the refusal of an invitation whose sender could not send it now.
const INVITER_NOT_ALLOWED: &str = "inviter_not_allowed";

/// Refuses an invitation whose sender may not sign in any more, or may not invite or give what it gives. Of a sender who is neither a user
/// nor a machine nothing can be looked up: what they could give when they sent it counts.
async fn require_sender(work: &mut Work<'_>, senders: &SubjectsInLog, invitation: &Invitation) -> Result<(), Refusal> {
    let Some(sender) = invitation.sent_by else { return Ok(()) };
    let may = match senders.standing(work, sender).await? {
        Standing::Unknown => true,
        Standing::Inactive => false,
        Standing::Active(held) => {
            let given = roles_of(work, invitation).await?;
            held.contains(InviteUser::PERMISSION) && senders.may_give(work, &held, given).await?
        }
    };
    if may {
        return Ok(());
    }
    let detail =
        "whoever sent this invitation may no longer give what it gives; ask somebody else there to send it again";
    Err(Refusal::conflict(INVITER_NOT_ALLOWED, detail))
}

/// The roles that an invitation gives now, without those of its groups; `None`: it is one of the registration policy, which does not admit
/// the address any more.
async fn roles_given(
    work: &mut Work<'_>,
    senders: &SubjectsInLog,
    invitation: &Invitation,
) -> Result<Option<Vec<String>>, Refusal> {
    if !invitation.by_policy {
        require_sender(work, senders, invitation).await?;
        return Ok(Some(invitation.roles.clone()));
    }
    // The current policy counts: registration may have been closed since, or the roles reduced.
    let given = registration::roles_by_policy(work, invitation.email.reveal()).await?;
    Ok(given.map(|given| invitation.roles.iter().filter(|role| given.contains(role)).cloned().collect()))
}

/// Marks an invitation as accepted by a new user, with the link of this number. Returns the groups that the user joins.
async fn redeem(
    work: &mut Work<'_>,
    (id, turn): (InvitationId, u32),
    invitation: &Invitation,
    user: UserId,
) -> Result<Vec<GroupId>, Refusal> {
    let accept = InvitationCommand::Accept { turn, at: work.now(), user };
    work.update::<Invitation>(id, accept).await?;
    work.release(&EMAIL, invitation.email.reveal(), id);
    // Groups that were dissolved in the meantime are left out; the rest of the invitation is still valid.
    let mut groups = Vec::with_capacity(invitation.groups.len());
    for group in &invitation.groups {
        if references::existing_group(work, *group, "").await.is_ok() {
            groups.push(*group);
        }
    }
    Ok(groups)
}

/// What an invitation gives to a person who showed in another way than by its link that the address is theirs.
pub(crate) struct Redeemed {
    pub(crate) invitation: InvitationId,
    pub(crate) roles: Vec<String>,
    pub(crate) groups: Vec<GroupId>,
}

/// Accepts the invitation of an address for its owner, who becomes this user. `None`: there is none, or its link could not be used now.
pub(crate) async fn redeem_for(
    work: &mut Work<'_>,
    senders: &SubjectsInLog,
    email: &str,
    user: UserId,
) -> Result<Option<Redeemed>, Refusal> {
    let Some(id) = registration::invited(work, email).await? else { return Ok(None) };
    // Relied on, so that one which another process has just sent again is not taken for expired.
    let Some(invitation) = work.rely::<Invitation>(id).await? else { return Ok(None) };
    let turn = invitation.turn;
    if invitation.link(turn, work.now()).is_err() {
        return Ok(None);
    }
    let roles = match roles_given(work, senders, &invitation).await {
        Ok(Some(roles)) => roles,
        Ok(None) => return Ok(None),
        Err(refusal) if refusal.code() == INVITER_NOT_ALLOWED => return Ok(None),
        Err(refusal) => return Err(refusal),
    };
    let groups = redeem(work, (id, turn), &invitation, user).await?;
    Ok(Some(Redeemed { invitation: id, roles, groups }))
}

impl AcceptInvitation {
    /// Records that an invalid link was used.
    async fn refuse(
        &self,
        work: &mut Work<'_>,
        invitation: &Invitation,
        reason: InvitationFault,
    ) -> Result<Acceptance, Refusal> {
        // Recorded before. No token is needed to follow a link, so repeated attempts must not write anything.
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
        let Some(roles) = roles_given(work, &self.senders, &invitation).await? else {
            return self.refuse(work, &invitation, InvitationFault::Revoked).await;
        };
        let user: UserId = work.new_id();
        let groups = redeem(work, (self.invitation, self.turn), &invitation, user).await?;
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
