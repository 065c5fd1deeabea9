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
    /// Events of a user.
    pub enum UserEvent of "user.user" {
        /// A person became a user.
        UserRegistered = "user.user.registered" @ 1 {
            /// E-mail address and optional user name for signing in.
            pub login: Login,
            /// Whether the address is verified: they used a link that was sent to it.
            #[serde(default)]
            pub email_verified: bool,
            /// Profile of the user.
            pub profile: Profile,
            /// Roles that they got.
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            pub roles: Vec<String>,
            /// Groups that they joined.
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            pub groups: Vec<GroupId>,
            /// The invitation that they accepted.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub invitation: Option<InvitationId>,
        },
        /// The profile was replaced; this is the complete profile. An uploaded picture is kept, unless this has the address of another
        /// picture.
        UserProfileChanged = "user.user.profile_changed" @ 1 { pub profile: Profile },
        /// The user got this uploaded picture, which replaces the one that they had.
        UserPictureSet = "user.user.picture_set" @ 1 { pub uploaded: Personal<UploadedPicture>, pub at: DateTime<Utc> },
        /// The user's picture was removed.
        UserPictureRemoved = "user.user.picture_removed" @ 1 {},
        /// The e-mail address or the user name for signing in was changed; this is the complete login. A new address is unverified.
        UserLoginChanged = "user.user.login_changed" @ 1 { pub login: Login },
        /// The id of the user at their identity provider was changed or removed.
        UserExternalIdChanged = "user.user.external_id_changed" @ 1 {
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub external_id: Option<Personal<String>>,
        },
        /// The identity provider changed its labels for the user's data; these are all of them.
        UserLabelsChanged = "user.user.labels_changed" @ 1 { pub labels: Labels },
        /// A link was sent to verify the user's e-mail address.
        UserEmailVerificationRequested = "user.user.email_verification_requested" @ 1 {
            /// Number of the link; only the last one is valid.
            pub turn: u32,
            /// When it expires.
            pub expires_at: DateTime<Utc>,
        },
        /// The user used the link: their e-mail address is verified.
        UserEmailVerified = "user.user.email_verified" @ 1 {},
        /// An invalid link was used. Recorded once for each link, no matter how often and by whom it is used.
        UserEmailVerificationFailed = "user.user.email_verification_failed" @ 1 {
            /// Number of the link, counted from 1; absent in events from before it was recorded.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub turn: Option<u32>,
            pub reason: LinkFault,
        },
        /// A code was sent to verify the user's telephone number.
        UserPhoneVerificationRequested = "user.user.phone_verification_requested" @ 1 {
            /// Number of the code; only the last one is valid.
            pub turn: u32,
            /// When it was requested.
            pub at: DateTime<Utc>,
            /// When it expires.
            pub expires_at: DateTime<Utc>,
        },
        /// The user entered the code: their telephone number is verified.
        UserPhoneVerified = "user.user.phone_verified" @ 1 {},
        /// An invalid code was entered. Recorded a few times at most for each code that was sent; after that the code is no longer
        /// accepted.
        UserPhoneVerificationFailed = "user.user.phone_verification_failed" @ 1 {
            /// Number of the code that was expected, counted from 1.
            pub turn: u32,
            pub reason: CodeFault,
        },
        /// Somebody tried to register with the user's e-mail address; the user is told by e-mail that they already have an account.
        UserRegistrationNoted = "user.user.registration_noted" @ 1 { pub at: DateTime<Utc> },
        /// The user was granted a role.
        UserRoleGranted = "user.user.role_granted" @ 1 { pub role: String },
        /// A role was revoked from the user.
        UserRoleRevoked = "user.user.role_revoked" @ 1 { pub role: String },
        /// The user joined a group.
        UserGroupJoined = "user.user.group_joined" @ 1 { pub group: GroupId },
        /// The user left a group.
        UserGroupLeft = "user.user.group_left" @ 1 { pub group: GroupId },
        /// The user joined an organization.
        UserOrganizationJoined = "user.user.organization_joined" @ 1 { pub organization: OrganizationId },
        /// The user left an organization.
        UserOrganizationLeft = "user.user.organization_left" @ 1 { pub organization: OrganizationId },
        /// The user was locked: they can't sign in until they are unlocked, because something is wrong.
        UserLocked = "user.user.locked" @ 1 { pub reason: String },
        /// The user was unlocked and can sign in again.
        UserUnlocked = "user.user.unlocked" @ 1 {},
        /// The user was deactivated: they do not work here for now, such as on leave or after they left.
        UserDeactivated = "user.user.deactivated" @ 1 {
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub reason: Option<String>,
        },
        /// The user was reactivated.
        UserReactivated = "user.user.reactivated" @ 1 {},
        /// The user was removed. Their name stays in what they did.
        UserRemoved = "user.user.removed" @ 1 {},
        /// The personal data of the user was erased.
        UserErased = "user.user.erased" @ 1 {},
    }
}

/// What a user signs in with. Addresses and user names are unique in a tenant, and a user name can't be another user's address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Login {
    /// E-mail address, in lower case.
    pub email: Personal<String>,
    /// User name, in lower case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_name: Option<Personal<String>>,
}

impl Login {
    /// Everything that they may type to sign in, as far as it is known.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let names = std::iter::once(&self.email).chain(&self.user_name);
        names.filter(|name| name.is_known()).map(|name| name.reveal().as_str())
    }
}

/// The profile of a user.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Profile {
    /// Full name, as it is displayed.
    pub name: Personal<String>,
    /// Given name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given_name: Option<Personal<String>>,
    /// Family name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family_name: Option<Personal<String>>,
    /// Job title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Telephone number (E.164).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<Personal<String>>,
    /// Postal address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Personal<PostalAddress>>,
    /// URL of an external picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub picture: Option<Personal<String>>,
    /// Preferred language (BCP 47).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locale: Option<String>,
    /// Time zone (IANA time zone database).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
}

/// Data that an identity provider sends about a user and that is not used here. It is stored and returned as it was sent (RFC 7643 sections
/// 2.4 and 4.1).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Labels {
    /// Full formatted name (`name.formatted`), in addition to the one that is displayed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub formatted_name: Option<Personal<String>>,
    /// Formatted postal address (`addresses.formatted`), in addition to its components. Obsolete once the components change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub formatted_address: Option<Personal<String>>,
    /// Label of the e-mail address.
    #[serde(default, skip_serializing_if = "Label::is_empty")]
    pub email: Label,
    /// Label of the telephone number.
    #[serde(default, skip_serializing_if = "Label::is_empty")]
    pub phone: Label,
    /// Label of the postal address.
    #[serde(default, skip_serializing_if = "Label::is_empty")]
    pub address: Label,
}

/// How an identity provider labels an e-mail address, telephone number or postal address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Label {
    /// Purpose: `work`, `home` or whatever the provider calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purpose: Option<Personal<String>>,
    /// Whether it is the primary one of those that the provider knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub primary: Option<bool>,
}

impl Label {
    /// Whether the label is empty.
    pub const fn is_empty(&self) -> bool {
        self.purpose.is_none() && self.primary.is_none()
    }
}

/// Why a link that was sent by e-mail is not valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LinkFault {
    /// It has expired.
    Expired,
    /// A later one was sent, or it was already used.
    Superseded,
}

/// Why a code that was entered is not valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CodeFault {
    /// It is not the code that was sent last.
    Wrong,
    /// It has expired.
    Expired,
}

/// State of a user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UserStatus {
    /// May sign in.
    #[default]
    Active,
    /// Can't sign in because something is wrong.
    Locked,
    /// Can't sign in because they do not work here for now.
    Deactivated,
    /// No longer a user.
    Removed,
    /// All personal data is erased. Final.
    Erased,
}
