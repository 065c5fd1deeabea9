//! Self-registration: a person requests an account, if the tenant's registration policy allows it. A registration is an invitation that the
//! policy sends instead of a person; acceptance, expiry, links and claims are those of [invitations](crate::invitation).

use chrono::Duration;
use executor::{Command, Work};
use kernel::{Checks, Refusal, UserId};
use serde::{Deserialize, Serialize};
use user_aggregates::{
    ClaimedDomain, DomainId, INVITATION_GOOD_FOR, Invitation, InvitationCommand, InvitationId, OpenTo,
    RegistrationPolicy, RegistrationPolicyCommand, RegistrationPolicySet, User, UserCommand,
};

use crate::access::{Catalogue, existing_roles, require_within_own};
use crate::domain::{DOMAIN, domain_name};
use crate::invitation::{self, EMAIL, NewInvitation};
use crate::lengths;
use crate::user::LOGIN;

/// Minimum time between two mails to an address, so that nobody can fill another person's mailbox.
const PAUSE: Duration = Duration::minutes(10);

/// Replaces the registration policy: who may register, and which roles they get.
#[derive(Clone, Debug)]
pub struct SetRegistrationPolicy {
    pub open_to: OpenTo,
    /// The allowed domains, if the policy is limited to a list of domains; otherwise empty.
    pub domains: Vec<String>,
    /// The roles of new users. The caller needs all of their permissions.
    pub roles: Vec<String>,
    pub catalogue: Catalogue,
}

/// Requests an account for an e-mail address.
#[derive(Clone, Debug)]
pub struct RequestRegistration {
    pub email: String,
}

/// The outcome of a request for an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Registration {
    /// A link is mailed to the address, or was mailed a moment ago.
    Invited,
    /// The address belongs to a user. A mail says so, or did a moment ago.
    Known,
    /// The policy does not allow it.
    Refused,
}

impl Command for SetRegistrationPolicy {
    const PERMISSION: &'static str = "user:registration_policy:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let mut checks = Checks::default();
        let mut domains = Vec::with_capacity(self.domains.len());
        for (place, text) in self.domains.iter().enumerate() {
            match domain_name(text) {
                Ok(domain) => domains.push(domain),
                Err(wrong) => checks.refuse(format!("/domains/{place}"), wrong.code(), wrong.to_string()),
            }
        }
        let domains = checks.distinct("/domains", &domains, lengths::DOMAINS);
        let roles = checks.distinct("/roles", &self.roles, lengths::ROLES);
        match self.open_to {
            OpenTo::Domains if self.domains.is_empty() => {
                checks.refuse("/domains", "missing", "list the domains whose e-mail addresses may register".to_owned());
            }
            OpenTo::Domains => {}
            _ if !self.domains.is_empty() => {
                let detail = "domains are allowed only if open_to is domains".to_owned();
                checks.refuse("/domains", "not_allowed", detail);
            }
            _ => {}
        }
        checks.finish()?;
        existing_roles(work, &self.roles, "/roles").await?;
        require_within_own(work, &self.catalogue, roles.iter().cloned()).await?;
        let tenant = work.caller().tenant();
        let set = RegistrationPolicySet { open_to: self.open_to, domains, roles };
        work.upsert::<RegistrationPolicy>(tenant, RegistrationPolicyCommand::Set(set)).await
    }
}

/// The roles that the policy gives to the owner of this address; `None` if it does not admit them. The command relies on the policy, so the
/// append requires its version.
pub(crate) async fn roles_by_policy(work: &mut Work<'_>, email: &str) -> Result<Option<Vec<String>>, Refusal> {
    let tenant = work.caller().tenant();
    let Some(policy) = work.rely::<RegistrationPolicy>(tenant).await?.filter(|policy| policy.is_open()) else {
        return Ok(None);
    };
    let Some(domain) = email.rsplit_once('@').and_then(|(_, domain)| domain_name(domain).ok()) else { return Ok(None) };
    let verified = policy.open_to == OpenTo::VerifiedDomains && is_verified(work, &domain).await?;
    Ok(policy.allows(&domain, verified).then(|| policy.roles.clone()))
}

/// Refuses to verify a domain if the policy then lets its people register, with roles that have permissions that the caller lacks.
pub(crate) async fn authorize_verification(work: &mut Work<'_>, catalogue: &Catalogue) -> Result<(), Refusal> {
    let tenant = work.caller().tenant();
    let policy = work.rely::<RegistrationPolicy>(tenant).await?;
    match policy.filter(|policy| policy.open_to == OpenTo::VerifiedDomains) {
        Some(policy) => require_within_own(work, catalogue, policy.roles.iter().cloned()).await,
        None => Ok(()),
    }
}

/// Whether the tenant has verified a domain, and its DNS record was found at the last check.
async fn is_verified(work: &mut Work<'_>, domain: &str) -> Result<bool, Refusal> {
    let held = work.holders(&DOMAIN, [domain]).await?;
    let Some(claim) = held.get(domain).and_then(|holder| holder.parse::<DomainId>().ok()) else { return Ok(false) };
    let claimed = work.rely::<ClaimedDomain>(claim).await?;
    Ok(claimed.is_some_and(|claimed| claimed.verified && !claimed.record_missing && !claimed.released))
}

/// Revokes a registration of an address because a person invites them. An invitation by a person is not revoked: its claim causes the
/// refusal of the new one.
pub(crate) async fn replace_registration(work: &mut Work<'_>, email: &str) -> Result<(), Refusal> {
    match invited(work, email).await? {
        Some(before) if is_registration(work, before).await? => take_back(work, before, email).await,
        _ => Ok(()),
    }
}

/// Whether an invitation is a registration, which an invitation by a person replaces.
pub(crate) async fn is_registration(work: &mut Work<'_>, invitation: InvitationId) -> Result<bool, Refusal> {
    Ok(work.read::<Invitation>(invitation).await?.by_policy)
}

/// Revokes an invitation and releases its address.
pub(crate) async fn take_back(work: &mut Work<'_>, invitation: InvitationId, email: &str) -> Result<(), Refusal> {
    work.update::<Invitation>(invitation, InvitationCommand::Revoke).await?;
    work.release(&EMAIL, email, invitation);
    Ok(())
}

/// The open invitation of an address.
pub(crate) async fn invited(work: &mut Work<'_>, email: &str) -> Result<Option<InvitationId>, Refusal> {
    let held = work.holders(&EMAIL, [email]).await?;
    Ok(held.get(email).and_then(|holder| holder.parse().ok()))
}

impl Command for RequestRegistration {
    const PERMISSION: &'static str = "user:registration:request";
    type Answer = Registration;

    async fn run(&self, work: &mut Work<'_>) -> Result<Registration, Refusal> {
        let mut checks = Checks::default();
        let email = checks.email("/email", &self.email);
        checks.finish()?;
        let Some(roles) = roles_by_policy(work, &email).await? else { return Ok(Registration::Refused) };
        let users = work.holders(&LOGIN, [email.as_str()]).await?;
        if let Some(user) = users.get(email.as_str()).and_then(|holder| holder.parse::<UserId>().ok()) {
            let note = UserCommand::NoteRegistration { at: kernel::to_micros(work.now()), pause: PAUSE };
            work.update::<User>(user, note).await?;
            return Ok(Registration::Known);
        }
        let new = |email| NewInvitation { email, name: None, roles, groups: Vec::new(), by_policy: true };
        match invited(work, &email).await? {
            Some(before) => {
                let found = work.read::<Invitation>(before).await?;
                if found.by_policy {
                    if !kernel::pauses(found.expires_at - INVITATION_GOOD_FOR, PAUSE, work.now()) {
                        let expires_at = kernel::to_micros(work.now() + INVITATION_GOOD_FOR);
                        let resend = InvitationCommand::Resend { expires_at, sent_by: None };
                        work.update::<Invitation>(before, resend).await?;
                    }
                } else if work.now() >= found.expires_at {
                    // An expired invitation by a person is not renewed by a registration: the person gets what the policy gives.
                    take_back(work, before, &email).await?;
                    invitation::send(work, new(email))?;
                }
            }
            None => _ = invitation::send(work, new(email))?,
        }
        Ok(Registration::Invited)
    }
}
