//! User: a person who uses the platform, in one tenant.

use chrono::{DateTime, Utc};
use kernel::{Personal, PostalAddress};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{GroupId, InvitationId, OrganizationId};

mod life;
mod phone;
mod step;
mod upload;

pub use life::{User, UserCommand, UserError};
pub use phone::{PhoneState, SentCode, code_expires};
pub use step::UserStep;
pub use upload::{Upload, UploadedPicture};

kernel::events! {
    /// What can happen to a user.
    pub enum UserEvent of "user.user" {
        /// A person became a user.
        UserRegistered = "user.user.registered" @ 1 {
            /// What they sign in with: e-mail address and perhaps a name.
            pub login: Login,
            /// Whether the address is known to be theirs: they followed a link that was sent to it.
            #[serde(default)]
            pub email_verified: bool,
            /// Who they are.
            pub profile: Profile,
            /// The roles that they begin with.
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            pub roles: Vec<String>,
            /// The groups that they begin in.
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            pub groups: Vec<GroupId>,
            /// The invitation that they accepted.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub invitation: Option<InvitationId>,
        },
        /// Their profile was changed; this is all of it, but for a picture that was uploaded: that stays, unless this has the address of another.
        UserProfileChanged = "user.user.profile_changed" @ 1 { pub profile: Profile },
        /// They have this picture, which was uploaded, in place of whichever they had.
        UserPictureSet = "user.user.picture_set" @ 1 { pub uploaded: Personal<UploadedPicture>, pub at: DateTime<Utc> },
        /// They have no picture any more.
        UserPictureRemoved = "user.user.picture_removed" @ 1 {},
        /// They sign in with something else; this is all of it. A new address is not verified.
        UserLoginChanged = "user.user.login_changed" @ 1 { pub login: Login },
        /// The identity provider that keeps them knows them by another id, or by none.
        UserExternalIdChanged = "user.user.external_id_changed" @ 1 {
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub external_id: Option<Personal<String>>,
        },
        /// The identity provider that keeps them words or labels something else about them; this is all of it.
        UserLabelsChanged = "user.user.labels_changed" @ 1 { pub labels: Labels },
        /// A link was sent to their address, to show that it is theirs.
        UserEmailVerificationRequested = "user.user.email_verification_requested" @ 1 {
            /// Counts the links: only the last one is good.
            pub turn: u32,
            /// Until when it is good.
            pub expires_at: DateTime<Utc>,
        },
        /// They followed the link: the address is theirs.
        UserEmailVerified = "user.user.email_verified" @ 1 {},
        /// A link was followed that is not good any more: once for each link, whoever follows it how often.
        UserEmailVerificationFailed = "user.user.email_verification_failed" @ 1 {
            /// Which link, counted from 1; absent in records of before it was kept.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub turn: Option<u32>,
            pub reason: LinkFault,
        },
        /// A code was sent to their telephone number, to show that it is theirs.
        UserPhoneVerificationRequested = "user.user.phone_verification_requested" @ 1 {
            /// Counts the codes: only the last one is good.
            pub turn: u32,
            /// When it was asked for.
            pub at: DateTime<Utc>,
            /// Until when it is good.
            pub expires_at: DateTime<Utc>,
        },
        /// They entered the code: the number is theirs.
        UserPhoneVerified = "user.user.phone_verified" @ 1 {},
        /// A code was entered that is not good. At most a few for each that was sent: after that none is good any more.
        UserPhoneVerificationFailed = "user.user.phone_verification_failed" @ 1 {
            /// Which code was to be entered, counted from 1.
            pub turn: u32,
            pub reason: CodeFault,
        },
        /// Somebody asked for an account with their address: they are mailed that they have one.
        UserRegistrationNoted = "user.user.registration_noted" @ 1 { pub at: DateTime<Utc> },
        /// They got a role.
        UserRoleGranted = "user.user.role_granted" @ 1 { pub role: String },
        /// They lost a role.
        UserRoleRevoked = "user.user.role_revoked" @ 1 { pub role: String },
        /// They came into a group.
        UserGroupJoined = "user.user.group_joined" @ 1 { pub group: GroupId },
        /// They are not in a group any more.
        UserGroupLeft = "user.user.group_left" @ 1 { pub group: GroupId },
        /// They came into an organization.
        UserOrganizationJoined = "user.user.organization_joined" @ 1 { pub organization: OrganizationId },
        /// They are not in an organization any more.
        UserOrganizationLeft = "user.user.organization_left" @ 1 { pub organization: OrganizationId },
        /// They may not sign in for now, because something is wrong.
        UserLocked = "user.user.locked" @ 1 { pub reason: String },
        /// They may sign in again.
        UserUnlocked = "user.user.unlocked" @ 1 {},
        /// They do not work here for now: on leave, or gone and perhaps back.
        UserDeactivated = "user.user.deactivated" @ 1 {
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub reason: Option<String>,
        },
        /// They work here again.
        UserReactivated = "user.user.reactivated" @ 1 {},
        /// They are no user any more. Their name stays in what they did.
        UserRemoved = "user.user.removed" @ 1 {},
        /// Nothing that tells who they were is kept any more.
        UserErased = "user.user.erased" @ 1 {},
    }
}

/// What a user signs in with. In a tenant, no two users share an address or a name, nor is one's name another's address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Login {
    /// E-mail address, lower case.
    pub email: Personal<String>,
    /// A name of their own, lower case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_name: Option<Personal<String>>,
}

impl Login {
    /// All that they may type to sign in, as far as it is known.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let names = std::iter::once(&self.email).chain(&self.user_name);
        names.filter(|name| name.is_known()).map(|name| name.reveal().as_str())
    }
}

/// Who a user is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Profile {
    /// Full name, as it is shown.
    pub name: Personal<String>,
    /// Given name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given_name: Option<Personal<String>>,
    /// Family name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family_name: Option<Personal<String>>,
    /// What they do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// E.164.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<Personal<String>>,
    /// Where post reaches them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Personal<PostalAddress>>,
    /// Where a picture of them is, elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub picture: Option<Personal<String>>,
    /// The language that they want, BCP 47.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locale: Option<String>,
    /// Where their day is: a name of the IANA time zone database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
}

/// What an identity provider says of a user besides what is used here: kept for it as it says it (RFC 7643 sections 2.4 and 4.1).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Labels {
    /// The full name with all that belongs to it (`name.formatted`), beside the one that is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub formatted_name: Option<Personal<String>>,
    /// Their postal address as it is written out (`addresses.formatted`), beside the parts that it has. Worth nothing any more once these
    /// are others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub formatted_address: Option<Personal<String>>,
    /// Of their e-mail address.
    #[serde(default, skip_serializing_if = "Label::is_empty")]
    pub email: Label,
    /// Of their telephone number.
    #[serde(default, skip_serializing_if = "Label::is_empty")]
    pub phone: Label,
    /// Of their postal address.
    #[serde(default, skip_serializing_if = "Label::is_empty")]
    pub address: Label,
}

/// What an address or a number is to somebody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Label {
    /// What it is for: `work`, `home` or whatever the provider calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purpose: Option<Personal<String>>,
    /// Whether it is the primary one of those that the provider knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub primary: Option<bool>,
}

impl Label {
    /// Whether nothing is said.
    pub const fn is_empty(&self) -> bool {
        self.purpose.is_none() && self.primary.is_none()
    }
}

/// Why a mailed link is not good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LinkFault {
    /// Its time is over.
    Expired,
    /// A later one was sent, or it was used.
    Superseded,
}

/// Why a code that was entered is not good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CodeFault {
    /// It is another one than was sent last.
    Wrong,
    /// Its time is over.
    Expired,
}

/// Where a user stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UserStatus {
    /// May sign in.
    #[default]
    Active,
    /// May not, because something is wrong.
    Locked,
    /// May not, because they do not work here for now.
    Deactivated,
    /// Is no user any more.
    Removed,
    /// Nothing of them is kept. Final.
    Erased,
}
