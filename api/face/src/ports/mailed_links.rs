//! The port by which the auth service's pages look up and use mailed links. The user service creates and verifies these links; the
//! pages behind them belong to the auth service.

use async_trait::async_trait;
use kernel::{Refusal, TenantId, UserId};

use crate::{Addressees, Person};

/// Looks up mailed links, and executes what they are for.
#[async_trait]
pub trait MailedLinks: Addressees {
    /// The tenant of an authentic link, even if it has expired or was used; none: the link is not authentic.
    fn tenant(&self, link: &str) -> Option<TenantId>;

    /// The invitation behind a link; none: the link is not valid, or not valid any more.
    ///
    /// # Errors
    /// When the lookup is not possible at the moment.
    async fn invited(&self, link: &str) -> Result<Option<Invited>, Refusal>;

    /// Accepts an invitation: the invited person becomes a user with this name, and is known to [`People`](crate::People). None: the link
    /// is not valid; if it once was, the attempt is recorded.
    ///
    /// # Errors
    /// When the name is invalid, when another user has the address by now, when whoever sent the invitation may no longer give what it
    /// gives, or when it is not possible at the moment.
    async fn accept(&self, link: &str, name: &str) -> Result<Option<Person>, Refusal>;

    /// Verifies the address to which a link was mailed; false: the link is not valid.
    ///
    /// # Errors
    /// When it is not possible at the moment.
    async fn verify_email(&self, link: &str) -> Result<bool, Refusal>;

    /// Whether the tenant allows self-registration.
    ///
    /// # Errors
    /// When the lookup is not possible at the moment.
    async fn lets_register(&self, tenant: TenantId) -> Result<bool, Refusal>;

    /// Registers an address: mails it a link that works like an invitation, or, if it has an account, a notice of that. Sends nothing if
    /// it did so a moment ago. False: the tenant does not allow self-registration.
    ///
    /// # Errors
    /// When the address is invalid, or when it is not possible at the moment.
    async fn register(&self, tenant: TenantId, email: &str) -> Result<bool, Refusal>;

    /// Marks a user's address as verified, because they followed a link that another service mailed to it. False: they don't have this
    /// address any more, or may not sign in.
    ///
    /// # Errors
    /// When it is not possible at the moment.
    async fn show_email(&self, tenant: TenantId, user: UserId, email: &str) -> Result<bool, Refusal>;
}

/// An invited person.
#[derive(Clone, PartialEq, Eq)]
pub struct Invited {
    /// The tenant that they are invited to.
    pub tenant: TenantId,
    /// The address to which the invitation was mailed.
    pub email: String,
    /// Their name, if it is known.
    pub name: Option<String>,
    /// Whether they registered themselves, instead of being invited by somebody.
    pub by_policy: bool,
}

impl std::fmt::Debug for Invited {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // No personal data.
        f.debug_struct("Invited").field("tenant", &self.tenant).finish_non_exhaustive()
    }
}
