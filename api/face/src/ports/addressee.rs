//! The port by which the auth service looks up a user's mail address. Unlike [`People`](crate::People) it reads the event log, so it
//! also finds users that were created a moment ago.

use std::sync::Arc;

use async_trait::async_trait;
use kernel::{Refusal, TenantId, UserId};

/// Looks up the recipients of mail.
#[async_trait]
pub trait Addressees: Send + Sync {
    /// A user as the recipient of mail; none: there is no such user.
    ///
    /// # Errors
    /// When the lookup is not possible at the moment.
    async fn addressee(&self, tenant: TenantId, user: UserId) -> Result<Option<Addressee>, Refusal>;
}

/// A recipient of mail.
#[derive(Clone, PartialEq, Eq)]
pub struct Addressee {
    /// Their full name.
    pub name: String,
    /// Their e-mail address.
    pub email: String,
    /// Whether the address is verified.
    pub email_verified: bool,
    /// The address that they verified last, which may be an earlier one.
    pub verified_email: Option<String>,
    /// Whether they may sign in now.
    pub may_sign_in: bool,
}

impl std::fmt::Debug for Addressee {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // No personal data.
        f.debug_struct("Addressee").field("may_sign_in", &self.may_sign_in).finish_non_exhaustive()
    }
}

/// An implementation that always fails, for processes that send no mail, such as tests.
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
