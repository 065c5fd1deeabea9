//! The port by which one service asks another about people: who signs in is known to the auth service by an id only, all else
//! is the user service's. The gateway hands the one's implementation to the other.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use kernel::{PictureFile, PostalAddress, TenantId, UserId};

/// Asks who somebody is.
#[async_trait]
pub trait People: Send + Sync {
    /// By login name: the e-mail address (in any case) or user name, in this tenant.
    ///
    /// # Errors
    /// When it can't be told now.
    async fn by_login(&self, tenant: TenantId, login: &str) -> Result<Option<Person>, PeopleError>;

    /// By id, in this tenant.
    ///
    /// # Errors
    /// When it can't be told now.
    async fn by_id(&self, tenant: TenantId, id: UserId) -> Result<Option<Person>, PeopleError>;

    /// The picture that somebody of this tenant uploaded and still has, by its own id; none: nobody does.
    ///
    /// # Errors
    /// When it can't be told now.
    async fn picture(&self, tenant: TenantId, picture: &str) -> Result<Option<PictureFile>, PeopleError>;
}

/// A person, as far as signing in and tokens need it.
#[derive(Clone, PartialEq, Eq)]
pub struct Person {
    /// The subject of their tokens.
    pub id: UserId,
    /// What they sign in with.
    pub login: String,
    /// What else they sign in with: a name of their own.
    pub user_name: Option<String>,
    /// Their full name.
    pub name: String,
    /// Their given name.
    pub given_name: Option<String>,
    /// Their family name.
    pub family_name: Option<String>,
    /// Where a picture of them is, elsewhere.
    pub picture: Option<String>,
    /// The id of the picture that they uploaded instead (see [`kernel::picture_address`]).
    pub uploaded_picture: Option<String>,
    /// Their e-mail address.
    pub email: Option<String>,
    /// Whether they have shown that it is theirs.
    pub email_verified: bool,
    /// Their telephone number, E.164.
    pub phone: Option<String>,
    /// Whether they have shown that it is theirs.
    pub phone_verified: bool,
    /// Where post reaches them.
    pub address: Option<PostalAddress>,
    /// The same as it is written out, where that was ever said of it.
    pub formatted_address: Option<String>,
    /// Their language, BCP 47.
    pub locale: Option<String>,
    /// Their time zone, by its name in the IANA database.
    pub zoneinfo: Option<String>,
    /// When something of this was last changed.
    pub updated_at: Option<DateTime<Utc>>,
    /// What they are in the tenant, by name: built-in roles and the tenant's own.
    pub roles: Vec<String>,
    /// Whether they may sign in now: invited people, locked and deactivated ones may not.
    pub may_sign_in: bool,
}

impl std::fmt::Debug for Person {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Who it is, and nothing of them.
        f.debug_struct("Person").field("id", &self.id).field("may_sign_in", &self.may_sign_in).finish_non_exhaustive()
    }
}

/// It can't be told now who somebody is.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the user service can't be asked: {0}")]
pub struct PeopleError(pub String);
