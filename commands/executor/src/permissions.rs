//! The port through which a service asks what roles and users may do. The user service implements it, from the tenant's role definitions;
//! the gateway passes the implementation to the other services.
//!
//! A command that uses it asks on each run, so that it compares the answer with the same state that the append checks. The append can't
//! check the answer itself, because it comes from another service's log.

use std::collections::BTreeSet;

use async_trait::async_trait;
use kernel::{Refusal, Role, TenantId, UserId};

/// What a user or a machine of a tenant may do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing<P> {
    /// May sign in (a machine: may get tokens), and has these permissions.
    Active(BTreeSet<P>),
    /// May not sign in any more.
    Inactive,
    /// The tenant has nobody with this id.
    Unknown,
}

/// Resolves the permissions of roles and users.
#[async_trait]
pub trait Permissions: Send + Sync {
    /// The union of the permissions of these roles of a tenant. An unknown role name has none.
    ///
    /// # Errors
    /// If the permissions can't be determined now.
    async fn of_roles(&self, tenant: TenantId, roles: &[String]) -> Result<BTreeSet<&'static str>, Refusal>;

    /// Whether a role of this name exists: a built-in one, or one of the tenant's own that is not retired.
    ///
    /// # Errors
    /// If the permissions can't be determined now.
    async fn is_role(&self, tenant: TenantId, name: &str) -> Result<bool, Refusal>;

    /// The permissions of a user by their own and their groups' roles, even while they may not sign in. Empty if there is no such user.
    ///
    /// # Errors
    /// If the permissions can't be determined now.
    async fn of_user(&self, tenant: TenantId, user: UserId) -> Result<BTreeSet<&'static str>, Refusal>;

    /// Whether a user may sign in, and with which permissions. Work that runs much later than it was requested (such as a job) uses it to
    /// check that its requester may still do it.
    ///
    /// # Errors
    /// If it can't be determined now.
    async fn standing(&self, tenant: TenantId, user: UserId) -> Result<Standing<&'static str>, Refusal>;

    /// Whether a user may sign in; `None`: the tenant has no such user. An implementation need not resolve their permissions for this.
    ///
    /// # Errors
    /// If it can't be determined now.
    async fn may_sign_in(&self, tenant: TenantId, user: UserId) -> Result<Option<bool>, Refusal> {
        Ok(match self.standing(tenant, user).await? {
            Standing::Active(_) => Some(true),
            Standing::Inactive => Some(false),
            Standing::Unknown => None,
        })
    }

    /// The permissions of administrators. Nobody can give themselves one that they lack, so nobody who lacks any of these can become an
    /// administrator by themselves. They are needed for what affects everybody's access.
    ///
    /// # Errors
    /// If they can't be determined now.
    async fn of_administrators(&self, tenant: TenantId) -> Result<BTreeSet<&'static str>, Refusal> {
        self.of_roles(tenant, &[Role::Admin.to_string()]).await
    }

    /// Whether a user may do everything that administrators may, whichever roles allow it: `admin`, one that includes it, or some that list
    /// its permissions. A user who may not sign in may do nothing.
    ///
    /// # Errors
    /// If it can't be determined now.
    async fn is_administrator(&self, tenant: TenantId, user: UserId) -> Result<bool, Refusal> {
        let Standing::Active(permissions) = self.standing(tenant, user).await? else { return Ok(false) };
        Ok(permissions.is_superset(&self.of_administrators(tenant).await?))
    }
}

/// An implementation for processes without the user service, such as tests: refuses every question.
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

    async fn standing(&self, _: TenantId, _: UserId) -> Result<Standing<&'static str>, Refusal> {
        Err(unknown())
    }
}

fn unknown() -> Refusal {
    Refusal::unavailable("powers_unavailable", "permissions can't be determined at the moment; try again")
}
