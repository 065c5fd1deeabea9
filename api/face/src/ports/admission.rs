//! The port by which the auth service admits people whom an identity provider of the tenant has authenticated. Users and their roles
//! belong to the user service, which implements it; the gateway connects the two.

use async_trait::async_trait;
use kernel::{Refusal, TenantId};
use uuid::Uuid;

use crate::Person;

/// Admits people whom an identity provider has authenticated.
#[async_trait]
pub trait Admission: Send + Sync {
    /// Finds or creates the user for an assertion, updates their roles and marks their address as verified. When it returns,
    /// [`People`](crate::People) knows the result, and the sessions have ended that the user's changes end, so that these do not end a session
    /// that begins now. `known`: the user with that address, as [`People`](crate::People) has just answered.
    /// If that user's address is not verified, the caller must have ensured that nobody else can sign in to the account. None: there is
    /// no such user, and the connection does not create users. A user who may not sign in is returned unchanged.
    ///
    /// # Errors
    /// When the change is not possible: the role of the last administrator can't be revoked, `known` does not have that address any more,
    /// or the log can't be written at the moment.
    async fn admit(
        &self,
        tenant: TenantId,
        asserted: &AssertedPerson,
        known: Option<&Person>,
    ) -> Result<Option<Person>, Refusal>;
}

/// What an identity provider asserts about a person.
#[derive(Clone, PartialEq, Eq)]
pub struct AssertedPerson {
    /// The tenant's connection to the identity provider.
    pub connection: Uuid,
    /// Their e-mail address; the provider is responsible for its domain.
    pub email: String,
    /// Their name, if the provider sent it.
    pub name: Option<String>,
    /// The roles that the provider grants them now.
    pub roles: Vec<String>,
    /// All roles that the provider manages. Those that are not in `roles` are revoked.
    pub managed: Vec<String>,
    /// Whether the connection creates users who don't exist yet.
    pub admits: bool,
}

impl std::fmt::Debug for AssertedPerson {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // No personal data.
        f.debug_struct("AssertedPerson").field("connection", &self.connection).finish_non_exhaustive()
    }
}
