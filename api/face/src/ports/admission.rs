//! The port by which the auth service has somebody let in for whom an identity provider of the tenant vouches: who users are and which
//! roles they have is the user service's. The gateway hands the one's implementation to the other.

use async_trait::async_trait;
use kernel::{Refusal, TenantId};
use uuid::Uuid;

use crate::Person;

/// Lets people in for whom an identity provider vouches.
#[async_trait]
pub trait Admission: Send + Sync {
    /// Who is vouched for, with the roles that they have by it from now on, and known to [`People`](crate::People); their address is theirs
    /// from now on, too. `known`: who signs in with that address, as [`People`](crate::People) has just said; when nobody has shown that it
    /// is theirs, nobody but who is vouched for can come in by their account. None: they are no user, and are not to become one. Who may
    /// not sign in is answered as they are, and nothing is changed.
    ///
    /// # Errors
    /// When it can't be done: the last administrator can't be taken that role, the address is not that of who is `known` any more, or the
    /// log can't be written now.
    async fn admit(
        &self,
        tenant: TenantId,
        vouched: &Vouched,
        known: Option<&Person>,
    ) -> Result<Option<Person>, Refusal>;
}

/// What an identity provider says of somebody.
#[derive(Clone, PartialEq, Eq)]
pub struct Vouched {
    /// The connection to it.
    pub connection: Uuid,
    /// Their e-mail address; the provider speaks of its domain.
    pub email: String,
    /// Their name, if it says one.
    pub name: Option<String>,
    /// The roles that it gives them now.
    pub roles: Vec<String>,
    /// All roles that it gives and takes: those of them that are not in `roles` they have no more.
    pub managed: Vec<String>,
    /// Whether who is no user yet becomes one.
    pub admits: bool,
}

impl std::fmt::Debug for Vouched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // By whom, and nothing of them.
        f.debug_struct("Vouched").field("connection", &self.connection).finish_non_exhaustive()
    }
}
