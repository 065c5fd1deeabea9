//! The state of a user, with `decide` and `evolve`.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use kernel::{Aggregate, LastTimes, Personal, Refusal, folded, listed};
use serde::{Deserialize, Serialize};

use super::step::UserStep;
use super::upload;
use crate::{
    GroupId, InvitationId, Labels, LinkFault, Login, OrganizationId, PhoneState, Profile, Upload, UploadedPicture,
    UserDeactivated, UserEmailVerificationFailed, UserEmailVerificationRequested, UserEmailVerified, UserErased,
    UserEvent, UserExternalIdChanged, UserGroupJoined, UserGroupLeft, UserLabelsChanged, UserLocked, UserLoginChanged,
    UserOrganizationJoined, UserOrganizationLeft, UserPhoneVerificationFailed, UserPhoneVerificationRequested,
    UserPhoneVerified, UserPictureRemoved, UserPictureSet, UserProfileChanged, UserReactivated, UserRegistered,
    UserRegistrationNoted, UserRemoved, UserRoleGranted, UserRoleRevoked, UserStatus, UserUnlocked, code_expires,
};

/// Maximum roles, groups or organizations of a user, of each.
pub const MOST_MEMBERSHIPS: usize = 200;

/// A user, as they result from their events.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct User {
    /// State of the user.
    pub status: UserStatus,
    /// Whether they are locked, also while they are deactivated: reactivation does not unlock them.
    #[serde(default)]
    pub locked: bool,
    /// What they sign in with.
    pub login: Login,
    /// Whether the address is verified.
    pub email_verified: bool,
    /// The address that they verified last: also after it was replaced by one that nobody has verified, which may be somebody else's.
    #[serde(default)]
    pub verified_email: Option<Personal<String>>,
    /// Profile of the user.
    pub profile: Profile,
    /// The picture that they uploaded; if there is one, their profile has no picture address.
    #[serde(default)]
    pub upload: Option<Personal<Upload>>,
    /// When they last uploaded a picture.
    #[serde(default)]
    pub uploads: LastTimes,
    /// Id of the user at an identity provider.
    #[serde(default)]
    pub external_id: Option<Personal<String>>,
    /// Further data from the identity provider.
    #[serde(default)]
    pub labels: Labels,
    /// Whether the provider ever sent their full formatted name.
    #[serde(default)]
    pub name_told: bool,
    /// Their roles, without those of their groups.
    pub roles: BTreeSet<String>,
    /// Their groups.
    pub groups: BTreeSet<GroupId>,
    /// Their organizations.
    pub organizations: BTreeSet<OrganizationId>,
    /// The invitation that they accepted: it contains personal data, too.
    #[serde(default)]
    pub invitation: Option<InvitationId>,
    /// The last link that was sent to their address, until it was used.
    pub verification: Option<SentLink>,
    /// Number of links sent.
    pub links: u32,
    /// The links for which an invalid use is recorded.
    #[serde(default)]
    pub refused_links: BTreeSet<u32>,
    /// State of their telephone number.
    #[serde(default)]
    pub phone: PhoneState,
    /// When somebody last tried to register with their address and they were told of it.
    #[serde(default)]
    pub registration_noted_at: Option<DateTime<Utc>>,
}

/// A link that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentLink {
    pub turn: u32,
    pub expires_at: DateTime<Utc>,
}

/// Commands for a user. The form of their values has been checked.
#[derive(Clone, Debug, PartialEq)]
pub enum UserCommand {
    Register(UserRegistered),
    ChangeProfile {
        profile: Profile,
    },
    SetPicture {
        uploaded: UploadedPicture,
        at: DateTime<Utc>,
    },
    /// Remove their picture: an uploaded one and the address of an external one.
    RemovePicture,
    ChangeLogin {
        login: Login,
    },
    ChangeExternalId {
        external_id: Option<Personal<String>>,
    },
    ChangeLabels {
        labels: Labels,
    },
    RequestEmailVerification {
        expires_at: DateTime<Utc>,
    },
    VerifyEmail {
        turn: u32,
        at: DateTime<Utc>,
    },
    /// They used a link that was sent to this address for another purpose.
    ShowEmail {
        email: String,
    },
    /// They request a code for their telephone number.
    RequestPhoneVerification {
        at: DateTime<Utc>,
    },
    /// They entered a code; `right`: it is the one that was sent last.
    VerifyPhone {
        right: bool,
        at: DateTime<Utc>,
    },
    /// Somebody tried to register with their address. They are not told of it again before the pause is over.
    NoteRegistration {
        at: DateTime<Utc>,
        pause: TimeDelta,
    },
    GrantRole {
        role: String,
    },
    RevokeRole {
        role: String,
    },
    JoinGroup {
        group: GroupId,
    },
    LeaveGroup {
        group: GroupId,
    },
    JoinOrganization {
        organization: OrganizationId,
    },
    LeaveOrganization {
        organization: OrganizationId,
    },
    Lock {
        reason: String,
    },
    Unlock,
    Deactivate {
        reason: Option<String>,
    },
    Reactivate,
    Remove,
    Erase,
}

/// Why a user refuses a command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UserError {
    /// The state of the user does not allow the step.
    #[error("a user who is {} can't take the step {}; allowed: {}", .status.as_str(), .step.as_str(), listed(.status.allowed().iter().map(|step| step.as_str())))]
    StepNotAllowed { step: UserStep, status: UserStatus },
    /// The address is already verified.
    #[error("the e-mail address is already verified")]
    AlreadyVerified,
    /// The link is not valid.
    #[error("the link is no longer valid: it has expired, was used, or a later one was sent; ask for a new one")]
    Link,
    /// The profile has no telephone number.
    #[error("the profile has no telephone number")]
    NoPhone,
    /// The number is already verified.
    #[error("the telephone number is already verified")]
    PhoneVerified,
    /// Too many codes were requested.
    #[error("too many codes were requested; another one can be sent in {wait} seconds")]
    TooManyCodes { wait: i64 },
    /// Too many pictures were uploaded.
    #[error("too many pictures were uploaded; another one can be uploaded in {wait} seconds")]
    TooManyPictures { wait: i64 },
    /// The code is not valid.
    #[error(
        "the code is not valid: it is not the one that was sent last, it has expired, or there were too many wrong attempts; request a new one"
    )]
    Code,
    /// They have too many of something.
    #[error("a user can have at most {MOST_MEMBERSHIPS} {what}")]
    TooMany { what: &'static str },
}

impl From<UserError> for Refusal {
    fn from(error: UserError) -> Self {
        match error {
            UserError::StepNotAllowed { step, status } => Self::conflict("user_step_not_allowed", error.to_string())
                .with("step", step.as_str())
                .with("state", status.as_str())
                .with("allowed", status.allowed().iter().map(|step| step.as_str()).collect::<Vec<_>>()),
            UserError::AlreadyVerified => Self::conflict("email_verified_already", error.to_string()),
            UserError::Link => Self::conflict("link_not_good", error.to_string()),
            UserError::NoPhone => Self::conflict("phone_missing", error.to_string()),
            UserError::PhoneVerified => Self::conflict("phone_verified_already", error.to_string()),
            UserError::TooManyCodes { wait } => {
                Self::rate_limited("codes_asked_too_often", error.to_string()).with("retry_after", wait)
            }
            UserError::TooManyPictures { wait } => {
                Self::rate_limited("pictures_set_too_often", error.to_string()).with("retry_after", wait)
            }
            UserError::Code => Self::conflict("code_not_good", error.to_string()),
            UserError::TooMany { .. } => Self::conflict("too_many_memberships", error.to_string()),
        }
    }
}

impl User {
    /// Whether they may sign in and act.
    pub fn may_sign_in(&self) -> bool {
        self.status == UserStatus::Active
    }

    /// Whether the user is an owner: an administrator who may sign in.
    pub fn is_owner(&self) -> bool {
        self.may_sign_in() && self.roles.contains(kernel::Role::Admin.as_str())
    }

    /// Whether the link with this number is valid at this time.
    pub fn link(&self, turn: u32, at: DateTime<Utc>) -> Result<(), LinkFault> {
        match self.verification {
            Some(sent) if sent.turn == turn && at < sent.expires_at => Ok(()),
            Some(sent) if sent.turn == turn => Err(LinkFault::Expired),
            _ => Err(LinkFault::Superseded),
        }
    }

    /// The id of the picture that they uploaded, as far as it is known.
    pub fn uploaded(&self) -> Option<&str> {
        self.upload.as_ref().and_then(Personal::known).map(|upload| upload.id.as_str())
    }

    /// Whether the picture that they uploaded is the one of this hash.
    fn has_uploaded(&self, sha256: &str) -> bool {
        self.upload.as_ref().and_then(Personal::known).is_some_and(|upload| upload.sha256 == sha256)
    }

    fn set_picture(&self, uploaded: UploadedPicture, at: DateTime<Utc>) -> Result<Vec<UserEvent>, UserError> {
        if self.has_uploaded(&uploaded.picture.sha256) {
            return Ok(vec![]);
        }
        if let Some(until) = self.uploads.waits_until(at, &upload::LIMITS) {
            return Err(UserError::TooManyPictures { wait: (until - at).num_seconds() + 1 });
        }
        Ok(vec![UserPictureSet { uploaded: uploaded.into(), at }.into()])
    }

    fn may(&self, step: UserStep) -> Result<(), UserError> {
        if self.status.allowed().contains(&step) {
            return Ok(());
        }
        Err(UserError::StepNotAllowed { step, status: self.status })
    }

    /// The events of a step to a status; none if the user has this status already.
    fn change_status(&self, step: UserStep, status: UserStatus, event: UserEvent) -> Result<Vec<UserEvent>, UserError> {
        if self.status == status {
            return Ok(vec![]);
        }
        self.may(step)?;
        Ok(vec![event])
    }
}

/// The events of adding to a set: none if the value is in it already; refused if the set is full.
fn add_to<T: Ord>(
    set: &BTreeSet<T>,
    value: &T,
    what: &'static str,
    event: UserEvent,
) -> Result<Vec<UserEvent>, UserError> {
    match set.contains(value) {
        true => Ok(vec![]),
        false if set.len() >= MOST_MEMBERSHIPS => Err(UserError::TooMany { what }),
        false => Ok(vec![event]),
    }
}

fn remove_from<T: Ord>(set: &BTreeSet<T>, value: &T, event: UserEvent) -> Vec<UserEvent> {
    if set.contains(value) { vec![event] } else { vec![] }
}

impl Aggregate for User {
    const TYPE: &'static str = "user.user";
    const FORM: u32 = 9;
    const SEALED: bool = true;
    type Command = UserCommand;
    type Event = UserEvent;
    type Error = UserError;

    fn decide(&self, command: UserCommand) -> Result<Vec<UserEvent>, UserError> {
        use UserCommand as C;
        if let Some(step) = command.step() {
            self.may(step)?;
        }
        Ok(match command {
            C::Register(registered) => vec![registered.into()],
            C::ChangeProfile { profile } if profile == self.profile => vec![],
            C::ChangeProfile { profile } => vec![UserProfileChanged { profile }.into()],
            C::SetPicture { uploaded, at } => self.set_picture(uploaded, at)?,
            C::RemovePicture if self.upload.is_none() && self.profile.picture.is_none() => vec![],
            C::RemovePicture => vec![UserPictureRemoved {}.into()],
            C::ChangeLogin { login } if login == self.login => vec![],
            C::ChangeLogin { login } => vec![UserLoginChanged { login }.into()],
            C::ChangeExternalId { external_id } if external_id == self.external_id => vec![],
            C::ChangeExternalId { external_id } => vec![UserExternalIdChanged { external_id }.into()],
            C::ChangeLabels { labels } if labels == self.labels => vec![],
            C::ChangeLabels { labels } => vec![UserLabelsChanged { labels }.into()],
            C::RequestEmailVerification { .. } if self.email_verified => return Err(UserError::AlreadyVerified),
            C::RequestEmailVerification { expires_at } => {
                vec![UserEmailVerificationRequested { turn: self.links + 1, expires_at }.into()]
            }
            C::VerifyEmail { .. } if self.email_verified => vec![],
            C::VerifyEmail { turn, at } => match self.link(turn, at) {
                Ok(()) => vec![UserEmailVerified {}.into()],
                // The command returns the refusal. The failed attempt is recorded once per link.
                Err(_) if self.refused_links.contains(&turn) => vec![],
                Err(reason) => vec![UserEmailVerificationFailed { turn: Some(turn), reason }.into()],
            },
            // The link was mailed to an address that is no longer the user's.
            C::ShowEmail { email } if *self.login.email.reveal() != email => return Err(UserError::Link),
            C::ShowEmail { .. } if self.email_verified => vec![],
            C::ShowEmail { .. } => vec![UserEmailVerified {}.into()],
            C::RequestPhoneVerification { .. } if self.profile.phone.is_none() => return Err(UserError::NoPhone),
            C::RequestPhoneVerification { .. } | C::VerifyPhone { .. } if self.phone.verified => {
                return Err(UserError::PhoneVerified);
            }
            C::RequestPhoneVerification { at } => {
                if let Some(until) = self.phone.waits_until(at) {
                    return Err(UserError::TooManyCodes { wait: (until - at).num_seconds() + 1 });
                }
                let (turn, expires_at) = (self.phone.codes + 1, code_expires(at));
                vec![UserPhoneVerificationRequested { turn, at, expires_at }.into()]
            }
            C::VerifyPhone { right, at } => match self.phone.entered(right, at).ok_or(UserError::Code)? {
                (_, None) => vec![UserPhoneVerified {}.into()],
                // The command returns the refusal. The failed attempt is recorded and counted.
                (turn, Some(reason)) => vec![UserPhoneVerificationFailed { turn, reason }.into()],
            },
            C::NoteRegistration { at, pause } => match self.registration_noted_at {
                Some(noted) if kernel::pauses(noted, pause, at) => vec![],
                _ => vec![UserRegistrationNoted { at }.into()],
            },
            C::GrantRole { role } => {
                add_to(&self.roles, &role, "roles", UserRoleGranted { role: role.clone() }.into())?
            }
            C::RevokeRole { role } => remove_from(&self.roles, &role, UserRoleRevoked { role: role.clone() }.into()),
            C::JoinGroup { group } => add_to(&self.groups, &group, "groups", UserGroupJoined { group }.into())?,
            C::LeaveGroup { group } => remove_from(&self.groups, &group, UserGroupLeft { group }.into()),
            C::JoinOrganization { organization } => add_to(
                &self.organizations,
                &organization,
                "organizations",
                UserOrganizationJoined { organization }.into(),
            )?,
            C::LeaveOrganization { organization } => {
                remove_from(&self.organizations, &organization, UserOrganizationLeft { organization }.into())
            }
            C::Lock { reason } => {
                self.change_status(UserStep::Lock, UserStatus::Locked, UserLocked { reason }.into())?
            }
            C::Unlock => match self.status {
                UserStatus::Active => vec![],
                _ => self.change_status(UserStep::Unlock, UserStatus::Active, UserUnlocked {}.into())?,
            },
            C::Deactivate { reason } => {
                self.change_status(UserStep::Deactivate, UserStatus::Deactivated, UserDeactivated { reason }.into())?
            }
            C::Reactivate => self.change_status(UserStep::Reactivate, UserStatus::Active, UserReactivated {}.into())?,
            C::Remove => self.change_status(UserStep::Remove, UserStatus::Removed, UserRemoved {}.into())?,
            C::Erase => self.change_status(UserStep::Erase, UserStatus::Erased, UserErased {}.into())?,
        })
    }

    fn evolve(&mut self, event: UserEvent) {
        match event {
            UserEvent::UserRegistered(e) => {
                self.status = UserStatus::Active;
                self.verified_email = e.email_verified.then(|| e.login.email.clone());
                self.login = e.login;
                self.email_verified = e.email_verified;
                self.profile = e.profile;
                self.roles = e.roles.into_iter().collect();
                self.groups = e.groups.into_iter().collect();
                self.invitation = e.invitation;
            }
            UserEvent::UserProfileChanged(e) => {
                if self.profile.phone != e.profile.phone {
                    self.phone.forget_number();
                }
                if self.profile.address != e.profile.address {
                    self.labels.formatted_address = None;
                }
                if e.profile.picture.is_some() {
                    self.upload = None;
                }
                self.profile = e.profile;
            }
            UserEvent::UserPictureSet(e) => {
                self.upload = Some(Upload::of(&e.uploaded));
                self.uploads.note(e.at, &upload::LIMITS);
                self.profile.picture = None;
            }
            UserEvent::UserPictureRemoved(_) => (self.upload, self.profile.picture) = (None, None),
            UserEvent::UserLoginChanged(e) => {
                let (before, after) = (&self.login.email, &e.login.email);
                // Another Unicode form or case of the same address does not count as a new one.
                if before.is_known() != after.is_known() || folded(before.reveal()) != folded(after.reveal()) {
                    self.email_verified = false;
                    self.verification = None;
                }
                self.login = e.login;
            }
            UserEvent::UserExternalIdChanged(e) => self.external_id = e.external_id,
            UserEvent::UserLabelsChanged(e) => {
                self.name_told |= e.labels.formatted_name.is_some();
                self.labels = e.labels;
            }
            UserEvent::UserEmailVerificationRequested(e) => {
                self.links = e.turn;
                self.verification = Some(SentLink { turn: e.turn, expires_at: e.expires_at });
            }
            UserEvent::UserEmailVerified(_) => {
                self.email_verified = true;
                self.verified_email = Some(self.login.email.clone());
                self.verification = None;
            }
            UserEvent::UserEmailVerificationFailed(e) => self.refused_links.extend(e.turn),
            UserEvent::UserPhoneVerificationRequested(e) => self.phone.note_sent(e.turn, e.at, e.expires_at),
            UserEvent::UserPhoneVerified(_) => self.phone.note_verified(),
            UserEvent::UserPhoneVerificationFailed(e) => self.phone.note_failure(e.turn),
            UserEvent::UserRegistrationNoted(e) => self.registration_noted_at = Some(e.at),
            UserEvent::UserRoleGranted(e) => _ = self.roles.insert(e.role),
            UserEvent::UserRoleRevoked(e) => _ = self.roles.remove(&e.role),
            UserEvent::UserGroupJoined(e) => _ = self.groups.insert(e.group),
            UserEvent::UserGroupLeft(e) => _ = self.groups.remove(&e.group),
            UserEvent::UserOrganizationJoined(e) => _ = self.organizations.insert(e.organization),
            UserEvent::UserOrganizationLeft(e) => _ = self.organizations.remove(&e.organization),
            UserEvent::UserLocked(_) => (self.status, self.locked) = (UserStatus::Locked, true),
            UserEvent::UserUnlocked(_) => (self.status, self.locked) = (UserStatus::Active, false),
            UserEvent::UserReactivated(_) if self.locked => self.status = UserStatus::Locked,
            UserEvent::UserReactivated(_) => self.status = UserStatus::Active,
            UserEvent::UserDeactivated(_) => self.status = UserStatus::Deactivated,
            UserEvent::UserRemoved(_) => {
                self.status = UserStatus::Removed;
                // Uploaded pictures are public, so only existing users keep one.
                self.upload = None;
                self.verification = None;
                self.phone.sent = None;
            }
            UserEvent::UserErased(_) => {
                let phone = PhoneState { codes: self.phone.codes, ..PhoneState::default() };
                *self = Self { status: UserStatus::Erased, links: self.links, phone, ..Self::default() };
            }
        }
    }
}

kernel::aggregate!(User);

#[cfg(test)]
mod tests;
