//! The effective permissions of the bearers of tokens. Users have those of their own roles and of their groups' roles, other subjects those
//! of the roles that their tokens name; roles are resolved by the tenant's definitions.
//!
//! They are read from the user service's log, not from read models, so that a revoked permission does not come back while a read
//! model is behind. A cache of results also has to store their dependencies ([`EffectivePermissions::depends_on`]), and to drop a
//! result when one of these changes ([`changed_dependency`]). Roles that do not exist (yet) are dependencies, too: a role's id is derived
//! from its name.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use executor::{Executor, Standing};
use face::Addressee;
use kernel::{Aggregate, Caller, Grant, RecordedEvent, Refusal, TenantId, UserId};
use user_aggregates::{Group, MOST_RESOLVED_ROLES, Owners, Role, RoleId, RoleTraversal, TooManyIncludedRoles, User};
use user_commands::SELF;
use uuid::Uuid;

use crate::mailed_links::addressee;

/// Resolves the effective permissions of bearers. Cheap to clone.
#[derive(Clone)]
pub struct PermissionResolver {
    executor: Executor,
    /// Each permission that roles can have, and the built-in roles that have it.
    permissions: Arc<BTreeMap<&'static str, &'static [kernel::Role]>>,
}

/// The permissions of a bearer, and what they were derived from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EffectivePermissions {
    /// The permissions.
    pub permissions: BTreeSet<&'static str>,
    /// Ids of the user, groups and roles that were read. When one of them changes, the permissions may change.
    pub depends_on: Vec<Uuid>,
    /// Whether permissions may be missing, because the roles include too many other ones. The bearer has no others, but nobody else may
    /// rely on that.
    pub truncated: bool,
}

impl EffectivePermissions {
    /// The permissions, to decide what somebody else may do to the bearer.
    ///
    /// # Errors
    /// `too_many_roles`: some may be missing.
    fn all(self) -> Result<BTreeSet<&'static str>, Refusal> {
        if self.truncated {
            return Err(TooManyIncludedRoles { limit: MOST_RESOLVED_ROLES }.into());
        }
        Ok(self.permissions)
    }
}

impl PermissionResolver {
    /// Reads the user service's log. `grants` is the permission table of all services.
    pub fn new(executor: Executor, grants: &[Grant]) -> Self {
        let permissions = grants.iter().filter(|grant| !grant.roles.is_empty());
        Self { executor, permissions: Arc::new(permissions.map(|grant| (grant.permission, grant.roles)).collect()) }
    }

    /// The permissions of a subject. A user of the tenant has those of the roles that they and their groups have now, whatever the
    /// token says; any other subject has those of the roles `named` in its token.
    ///
    /// # Errors
    /// `user_inactive` for a user who may not sign in; otherwise the log can't be read.
    pub async fn of(&self, tenant: TenantId, subject: &str, named: &[String]) -> Result<EffectivePermissions, Refusal> {
        let reader = reader(tenant);
        let user = match subject.parse::<UserId>() {
            Ok(id) => self.executor.load::<User>(&reader, &id.to_string()).await?.map(|(user, _)| (id, user)),
            Err(_) => None,
        };
        let Some((id, user)) = user else { return self.with_roles(tenant, named).await };
        if !user.may_sign_in() {
            let detail = "the token's user can't sign in now: they are locked, deactivated or no longer a user";
            return Err(Refusal::unauthenticated("user_inactive", detail));
        }
        let mut effective = self.while_active(tenant, &user).await?;
        effective.depends_on.push(id.uuid());
        Ok(effective)
    }

    /// The permissions of a user of the tenant by the roles that they and their groups have now, whether they may sign in or not. Empty if
    /// there is no such user.
    ///
    /// # Errors
    /// `too_many_roles`; the log can't be read.
    pub async fn of_user(&self, tenant: TenantId, user: UserId) -> Result<BTreeSet<&'static str>, Refusal> {
        match self.executor.load::<User>(&reader(tenant), &user.to_string()).await? {
            Some((user, _)) => self.with_roles_of(tenant, &user).await?.all(),
            None => Ok(BTreeSet::new()),
        }
    }

    /// Whether a user of the tenant may sign in, and the permissions that they then have.
    ///
    /// # Errors
    /// The log can't be read.
    pub async fn standing(&self, tenant: TenantId, user: UserId) -> Result<Standing<&'static str>, Refusal> {
        match self.executor.load::<User>(&reader(tenant), &user.to_string()).await? {
            Some((user, _)) if user.may_sign_in() => {
                Ok(Standing::Active(self.while_active(tenant, &user).await?.permissions))
            }
            Some(_) => Ok(Standing::Inactive),
            None => Ok(Standing::Unknown),
        }
    }

    /// Whether a user of the tenant may sign in; `None`: there is no such user. Reads no groups and roles.
    ///
    /// # Errors
    /// The log can't be read.
    pub async fn may_sign_in(&self, tenant: TenantId, user: UserId) -> Result<Option<bool>, Refusal> {
        let found = self.executor.load::<User>(&reader(tenant), &user.to_string()).await?;
        Ok(found.map(|(user, _)| user.may_sign_in()))
    }

    /// All permissions that these roles of a tenant grant together.
    ///
    /// # Errors
    /// `too_many_roles`; the log can't be read.
    pub async fn of_roles(&self, tenant: TenantId, names: &[String]) -> Result<BTreeSet<&'static str>, Refusal> {
        self.with_roles(tenant, names).await?.all()
    }

    /// The owners of a tenant: its administrators who may sign in.
    ///
    /// # Errors
    /// The log can't be read.
    pub async fn owners(&self, tenant: TenantId) -> Result<Vec<UserId>, Refusal> {
        let found = self.executor.load::<Owners>(&reader(tenant), &tenant.to_string()).await?;
        Ok(found.map(|(owners, _)| owners.users.iter().copied().collect()).unwrap_or_default())
    }

    /// The name and address for mail to a user of the tenant; none if there is no such user, or they may not sign in.
    ///
    /// # Errors
    /// The log can't be read.
    pub async fn addressee(&self, tenant: TenantId, user: UserId) -> Result<Option<Addressee>, Refusal> {
        let found = self.executor.load::<User>(&reader(tenant), &user.to_string()).await?;
        Ok(found.map(|(user, _)| addressee(&user)).filter(|addressee| addressee.may_sign_in))
    }

    /// Whether a role with this name exists and is not retired.
    ///
    /// # Errors
    /// The log can't be read.
    pub async fn is_role(&self, tenant: TenantId, name: &str) -> Result<bool, Refusal> {
        if name.parse::<kernel::Role>().is_ok() {
            return Ok(true);
        }
        let found = self.executor.load::<Role>(&reader(tenant), &RoleId::of(tenant, name).to_string()).await?;
        Ok(found.is_some_and(|(role, _)| !role.retired))
    }

    /// The permissions of a user who may sign in.
    async fn while_active(&self, tenant: TenantId, user: &User) -> Result<EffectivePermissions, Refusal> {
        let mut effective = self.with_roles_of(tenant, user).await?;
        effective.permissions.extend(self.permissions.get_key_value(SELF).map(|(permission, _)| *permission));
        Ok(effective)
    }

    async fn with_roles_of(&self, tenant: TenantId, user: &User) -> Result<EffectivePermissions, Refusal> {
        // Their own roles first, then those of their groups, the oldest group first.
        let mut roles: Vec<String> = user.roles.iter().cloned().collect();
        let mut depends_on = Vec::new();
        for group in &user.groups {
            depends_on.push(group.uuid());
            if let Some((group, _)) = self.executor.load::<Group>(&reader(tenant), &group.to_string()).await?
                && !group.dissolved
            {
                roles.extend(group.roles.iter().cloned());
            }
        }
        let mut effective = self.with_roles(tenant, &roles).await?;
        effective.depends_on.extend(depends_on);
        Ok(effective)
    }

    /// The permissions that these roles of a tenant grant together, as far as they are [resolved](EffectivePermissions::truncated). The name
    /// of an unknown or retired role grants nothing.
    ///
    /// # Errors
    /// The log can't be read.
    pub async fn with_roles(
        &self,
        tenant: TenantId,
        names: impl IntoIterator<Item = &String>,
    ) -> Result<EffectivePermissions, Refusal> {
        let reader = reader(tenant);
        let mut roles = RoleTraversal::new(names.into_iter().cloned(), MOST_RESOLVED_ROLES);
        let mut effective = EffectivePermissions::default();
        while let Some(name) = roles.next_role() {
            if let Ok(built_in) = name.parse::<kernel::Role>() {
                let allowed = self.permissions.iter().filter(|(_, roles)| roles.contains(&built_in));
                effective.permissions.extend(allowed.map(|(permission, _)| *permission));
                continue;
            }
            let id = RoleId::of(tenant, &name);
            effective.depends_on.push(id.uuid());
            let found = self.executor.load::<Role>(&reader, &id.to_string()).await?;
            let Some((role, _)) = found.filter(|(role, _)| !role.retired) else { continue };
            // A role's permission that no longer exists grants nothing.
            let allowed = role.permissions.iter().filter_map(|name| self.permissions.get_key_value(name.as_str()));
            effective.permissions.extend(allowed.map(|(permission, _)| *permission));
            roles.include(role.includes.iter().cloned());
        }
        effective.truncated = roles.is_truncated();
        Ok(effective)
    }
}

/// The id of the user, group or role that this event changes, if [`EffectivePermissions`] that depend on it may change.
pub fn changed_dependency(event: &RecordedEvent) -> Option<Uuid> {
    let step = event.change();
    let matters = match event.aggregate_type.as_str() {
        Role::TYPE => true,
        Group::TYPE => matches!(step, "role_granted" | "role_revoked" | "dissolved"),
        User::TYPE => matches!(
            step,
            "role_granted"
                | "role_revoked"
                | "group_joined"
                | "group_left"
                | "locked"
                | "unlocked"
                | "deactivated"
                | "reactivated"
                | "removed"
                | "erased"
        ),
        _ => false,
    };
    if matters { event.aggregate_id.parse().ok() } else { None }
}

/// The caller with which aggregates are loaded. Loading needs no permission, only the tenant.
fn reader(tenant: TenantId) -> Caller {
    Caller::holding(tenant, "gateway", BTreeSet::new())
}
