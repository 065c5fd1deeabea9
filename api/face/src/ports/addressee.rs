//! The port by which the auth service asks to whom its mail goes. Unlike [`People`](crate::People) it asks the log: whoever was made a
//! user a moment ago is known to it.

use std::sync::Arc;

use async_trait::async_trait;
use kernel::{Refusal, TenantId, UserId};

/// Asks where mail for somebody goes.
#[async_trait]
pub trait Addressees: Send + Sync {
    /// Where mail for a user goes; none: there is no such user.
    ///
    /// # Errors
    /// When it can't be told now.
    async fn addressee(&self, tenant: TenantId, user: UserId) -> Result<Option<Addressee>, Refusal>;
}

/// Where mail for somebody goes.
#[derive(Clone, PartialEq, Eq)]
pub struct Addressee {
    /// Their full name.
    pub name: String,
    /// Their e-mail address.
    pub email: String,
    /// Whether they have shown that it is theirs.
    pub email_verified: bool,
    /// Whether they may sign in now.
    pub may_sign_in: bool,
}

impl std::fmt::Debug for Addressee {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // How it stands, and nothing of them.
        f.debug_struct("Addressee").field("may_sign_in", &self.may_sign_in).finish_non_exhaustive()
    }
}

/// Of a process that mails to nobody, such as one of a test.
pub fn no_addressees() -> Arc<dyn Addressees> {
    Arc::new(Nobody)
}

struct Nobody;

#[async_trait]
impl Addressees for Nobody {
    async fn addressee(&self, _: TenantId, _: UserId) -> Result<Option<Addressee>, Refusal> {
        Err(Refusal::unavailable("people_unavailable", "this process knows nobody's address"))
    }
}
