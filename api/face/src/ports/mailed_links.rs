//! The port by which pages ask what a mailed link is good for. Links are made and read by the service that mailed them; what
//! whoever follows one sees is the auth service's.

use async_trait::async_trait;
use kernel::{Refusal, TenantId, UserId};

use crate::{Addressees, Person};

/// Asks about links, and follows them.
#[async_trait]
pub trait MailedLinks: Addressees {
    /// The tenant of a link of ours, whether it is still good or not; none: we did not make it.
    fn tenant(&self, link: &str) -> Option<TenantId>;

    /// Whom an invitation's link invites; none: the link is not good, or not good any more.
    ///
    /// # Errors
    /// When it can't be told now.
    async fn invited(&self, link: &str) -> Result<Option<Invited>, Refusal>;

    /// Accepts an invitation: who followed its link is a user, by this name, and known to [`People`](crate::People). None: the
    /// link is not good, which is on record if it ever was.
    ///
    /// # Errors
    /// When the name is none, when there is another user of this address meanwhile, or when it can't be done now.
    async fn accept(&self, link: &str, name: &str) -> Result<Option<Person>, Refusal>;

    /// Verifies the address to which a link was mailed; false: the link is not good.
    ///
    /// # Errors
    /// When it can't be done now.
    async fn verify_email(&self, link: &str) -> Result<bool, Refusal>;

    /// Whether anybody may register by themselves in a tenant.
    ///
    /// # Errors
    /// When it can't be told now.
    async fn lets_register(&self, tenant: TenantId) -> Result<bool, Refusal>;

    /// Somebody asks for an account: their address is mailed a link with which they accept it as an invitation, or that they have one;
    /// nothing, if it was a moment ago. False: the tenant does not let them.
    ///
    /// # Errors
    /// When the address is none, or when it can't be done now.
    async fn register(&self, tenant: TenantId, email: &str) -> Result<bool, Refusal>;

    /// Notes that an address is a user's own: they followed a link that another service mailed to it. False: it is not theirs any
    /// more, or they may not sign in.
    ///
    /// # Errors
    /// When it can't be done now.
    async fn show_email(&self, tenant: TenantId, user: UserId, email: &str) -> Result<bool, Refusal>;
}

/// Whom an invitation is for.
#[derive(Clone, PartialEq, Eq)]
pub struct Invited {
    /// Whose user they are to become.
    pub tenant: TenantId,
    /// Where the invitation was mailed.
    pub email: String,
    /// Their name, as far as it is known.
    pub name: Option<String>,
    /// Whether they asked for it themselves.
    pub by_policy: bool,
}

impl std::fmt::Debug for Invited {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // To whom, and nothing of them.
        f.debug_struct("Invited").field("tenant", &self.tenant).finish_non_exhaustive()
    }
}
