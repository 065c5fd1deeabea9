//! The port by which a service asks what roles and people may do: the user service knows, by the tenant's definitions. The gateway hands its
//! implementation to the others.
//!
//! A command that asks does so each time that it runs, so that what it compares the answer with is what the append requires. What was
//! answered the append can't require: it is in another service's log.

use std::collections::BTreeSet;

use async_trait::async_trait;
use kernel::{Refusal, TenantId, UserId};

/// Says who may do what.
#[async_trait]
pub trait Permissions: Send + Sync {
    /// What these roles of a tenant allow together. A name that is no role's allows nothing.
    ///
    /// # Errors
    /// When it can't be told now.
    async fn of_roles(&self, tenant: TenantId, roles: &[String]) -> Result<BTreeSet<&'static str>, Refusal>;

    /// Whether there is a role of this name: a built-in one, or one of the tenant's own that is not retired.
    ///
    /// # Errors
    /// When it can't be told now.
    async fn is_role(&self, tenant: TenantId, name: &str) -> Result<bool, Refusal>;

    /// What a user may by the roles that they and their groups have, also while they may not sign in; nothing, if there is no such user.
    ///
    /// # Errors
    /// When it can't be told now.
    async fn of_user(&self, tenant: TenantId, user: UserId) -> Result<BTreeSet<&'static str>, Refusal>;
}

/// Of a process that knows nobody, such as one of a test.
pub struct NoPermissions;

#[async_trait]
impl Permissions for NoPermissions {
    async fn of_roles(&self, _: TenantId, _: &[String]) -> Result<BTreeSet<&'static str>, Refusal> {
        Err(unknown())
    }

    async fn is_role(&self, _: TenantId, _: &str) -> Result<bool, Refusal> {
        Err(unknown())
    }

    async fn of_user(&self, _: TenantId, _: UserId) -> Result<BTreeSet<&'static str>, Refusal> {
        Err(unknown())
    }
}

fn unknown() -> Refusal {
    Refusal::unavailable("powers_unavailable", "permissions can't be determined at the moment; try again")
}
