//! The port by which the auth service looks up people. It knows who signs in only by an id; all other data belongs to the user service,
//! which implements the port. The gateway connects the two.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use kernel::{PictureFile, PostalAddress, TenantId, UserId};

/// Looks up people.
#[async_trait]
pub trait People: Send + Sync {
    /// The user of this tenant with this login: their e-mail address (in any case) or user name.
    ///
    /// # Errors
    /// When the lookup is not possible at the moment.
    async fn by_login(&self, tenant: TenantId, login: &str) -> Result<Option<Person>, PeopleError>;

    /// The user of this tenant with this id.
    ///
    /// # Errors
    /// When the lookup is not possible at the moment.
    async fn by_id(&self, tenant: TenantId, id: UserId) -> Result<Option<Person>, PeopleError>;

    /// An uploaded picture by its id; none: it is not the current picture of a user of this tenant.
    ///
    /// # Errors
    /// When the lookup is not possible at the moment.
    async fn picture(&self, tenant: TenantId, picture: &str) -> Result<Option<PictureFile>, PeopleError>;
}

/// A person, as far as signing in and tokens need it.
#[derive(Clone, PartialEq, Eq)]
pub struct Person {
    /// The subject of their tokens.
    pub id: UserId,
    /// The login with which they sign in.
    pub login: String,
    /// An additional login: their user name.
    pub user_name: Option<String>,
    /// Their full name.
    pub name: String,
    /// Their given name.
    pub given_name: Option<String>,
    /// Their family name.
    pub family_name: Option<String>,
    /// The URL of a picture of them on another server.
    pub picture: Option<String>,
    /// The id of the picture that they uploaded instead (see [`kernel::picture_address`]).
    pub uploaded_picture: Option<String>,
    /// Their e-mail address.
    pub email: Option<String>,
    /// Whether the e-mail address is verified.
    pub email_verified: bool,
    /// Their telephone number, E.164.
    pub phone: Option<String>,
    /// Whether the telephone number is verified.
    pub phone_verified: bool,
    /// Their postal address.
    pub address: Option<PostalAddress>,
    /// The postal address formatted for display, if it was set.
    pub formatted_address: Option<String>,
    /// Their language, BCP 47.
    pub locale: Option<String>,
    /// Their time zone, by its name in the IANA database.
    pub zoneinfo: Option<String>,
    /// When any of this was last changed.
    pub updated_at: Option<DateTime<Utc>>,
    /// The names of their roles in the tenant: built-in ones and the tenant's own.
    pub roles: Vec<String>,
    /// Whether they may sign in now: invited people, locked and deactivated ones may not.
    pub may_sign_in: bool,
}

impl std::fmt::Debug for Person {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // No personal data but the id.
        f.debug_struct("Person").field("id", &self.id).field("may_sign_in", &self.may_sign_in).finish_non_exhaustive()
    }
}

/// A lookup failed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the user service can't be asked: {0}")]
pub struct PeopleError(pub String);
