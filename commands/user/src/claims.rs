//! Derives the claims of the user service from its events. To add a kind of claim, handle its events in the function of its aggregate; a
//! test compares the result with every claim that commands take.

use std::collections::HashMap;

use executor::{ClaimHistory, ClaimKind, HeldClaims};
use kernel::{Aggregate, DecodeError, RecordedEvent};
use user_aggregates::{
    ClaimedDomain, DomainEvent, Group, GroupEvent, Invitation, InvitationEvent, Login, Organization, OrganizationEvent,
    User, UserEvent,
};

use crate::user::LOGIN;
use crate::{domain, group, invitation, organization};

/// The claims of one tenant, and the state needed to derive them.
#[derive(Debug, Default)]
pub struct Claims {
    held: HeldClaims,
    /// Each user's login names.
    logins: HashMap<String, Login>,
    /// The name of each group and organization, lower case, the address of each invitation, and each domain.
    values: HashMap<String, String>,
}

impl ClaimHistory for Claims {
    fn observe(&mut self, event: &RecordedEvent) -> Result<(), DecodeError> {
        let id = &event.aggregate_id;
        match event.aggregate_type.as_str() {
            User::TYPE => event.decode()?.into_iter().for_each(|event| self.user(id, event)),
            Group::TYPE => event.decode()?.into_iter().for_each(|event| self.group(id, event)),
            Organization::TYPE => event.decode()?.into_iter().for_each(|event| self.organization(id, event)),
            ClaimedDomain::TYPE => event.decode()?.into_iter().for_each(|event| self.domain(id, event)),
            Invitation::TYPE => event.decode()?.into_iter().for_each(|event| self.invitation(id, event)),
            _ => {}
        }
        Ok(())
    }

    fn held(&self) -> &HeldClaims {
        &self.held
    }
}

impl Claims {
    fn user(&mut self, id: &str, event: UserEvent) {
        match event {
            UserEvent::UserRegistered(e) => self.login(id, Some(e.login)),
            UserEvent::UserLoginChanged(e) => self.login(id, Some(e.login)),
            UserEvent::UserRemoved(_) | UserEvent::UserErased(_) => self.login(id, None),
            UserEvent::UserProfileChanged(_)
            | UserEvent::UserPictureSet(_)
            | UserEvent::UserPictureRemoved(_)
            | UserEvent::UserExternalIdChanged(_)
            | UserEvent::UserLabelsChanged(_)
            | UserEvent::UserEmailVerificationRequested(_)
            | UserEvent::UserEmailVerified(_)
            | UserEvent::UserEmailVerificationFailed(_)
            | UserEvent::UserPhoneVerificationRequested(_)
            | UserEvent::UserPhoneVerified(_)
            | UserEvent::UserPhoneVerificationFailed(_)
            | UserEvent::UserRegistrationNoted(_)
            | UserEvent::UserRoleGranted(_)
            | UserEvent::UserRoleRevoked(_)
            | UserEvent::UserGroupJoined(_)
            | UserEvent::UserGroupLeft(_)
            | UserEvent::UserOrganizationJoined(_)
            | UserEvent::UserOrganizationLeft(_)
            | UserEvent::UserLocked(_)
            | UserEvent::UserUnlocked(_)
            | UserEvent::UserDeactivated(_)
            | UserEvent::UserReactivated(_) => {}
        }
    }

    fn group(&mut self, id: &str, event: GroupEvent) {
        match event {
            GroupEvent::GroupCreated(e) => self.value(&group::NAME, id, Some(e.name.to_lowercase())),
            GroupEvent::GroupRenamed(e) => self.value(&group::NAME, id, Some(e.name.to_lowercase())),
            GroupEvent::GroupDissolved(_) => self.value(&group::NAME, id, None),
            GroupEvent::GroupExternalIdChanged(_)
            | GroupEvent::GroupRoleGranted(_)
            | GroupEvent::GroupRoleRevoked(_) => {}
        }
    }

    fn organization(&mut self, id: &str, event: OrganizationEvent) {
        match event {
            OrganizationEvent::OrganizationCreated(e) => {
                self.value(&organization::NAME, id, Some(e.name.to_lowercase()));
            }
            OrganizationEvent::OrganizationRenamed(e) => {
                self.value(&organization::NAME, id, Some(e.name.to_lowercase()));
            }
            OrganizationEvent::OrganizationClosed(_) => self.value(&organization::NAME, id, None),
        }
    }

    fn domain(&mut self, id: &str, event: DomainEvent) {
        match event {
            DomainEvent::DomainClaimed(e) => self.value(&domain::DOMAIN, id, Some(e.domain)),
            DomainEvent::DomainReleased(_) => self.value(&domain::DOMAIN, id, None),
            DomainEvent::DomainVerified(_) | DomainEvent::DomainRecordMissing(_) => {}
        }
    }

    fn invitation(&mut self, id: &str, event: InvitationEvent) {
        match event {
            // The address of an erased person can't be read; their invitation is over and holds no claim.
            InvitationEvent::InvitationSent(e) if !e.email.is_known() => {}
            InvitationEvent::InvitationSent(e) => self.value(&invitation::EMAIL, id, Some(e.email.into_inner())),
            InvitationEvent::InvitationAccepted(_) | InvitationEvent::InvitationRevoked(_) => {
                self.value(&invitation::EMAIL, id, None);
            }
            InvitationEvent::InvitationResent(_)
            | InvitationEvent::InvitationRefused(_)
            | InvitationEvent::InvitationErased(_) => {}
        }
    }

    fn login(&mut self, user: &str, after: Option<Login>) {
        let before = match &after {
            Some(login) => self.logins.insert(user.to_owned(), login.clone()),
            None => self.logins.remove(user),
        };
        for name in before.iter().flat_map(Login::names) {
            self.held.release(&LOGIN, name, user);
        }
        for name in after.iter().flat_map(Login::names) {
            self.held.claim(&LOGIN, name, user);
        }
    }

    fn value(&mut self, kind: &'static ClaimKind, holder: &str, after: Option<String>) {
        let before = match &after {
            Some(value) => self.values.insert(holder.to_owned(), value.clone()),
            None => self.values.remove(holder),
        };
        if let Some(before) = before {
            self.held.release(kind, before, holder);
        }
        if let Some(after) = after {
            self.held.claim(kind, after, holder);
        }
    }
}
