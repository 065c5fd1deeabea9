//! What roles allow, and who may give them: nobody gives, takes or holds power over more than they have themselves.
//!
//! All that is looked up here is [relied](Work::rely) on: what is decided by it is not written when another process, or another
//! command, has made a role or a group allow something else meanwhile.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use executor::Work;
use kernel::{Caller, FieldError, Grant, Refusal, TenantId};
use user_aggregates::{Group, GroupId, Role, RoleId, User};

use crate::references::unknown;

/// How many roles are looked at, one including the other, before it is given up.
const MOST_ROLES: usize = 200;

/// What there is to be allowed: the permission tables of all services.
#[derive(Clone)]
pub struct Catalogue(Arc<[Grant]>);

impl fmt::Debug for Catalogue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Catalogue({} permissions)", self.0.len())
    }
}

impl From<Vec<Grant>> for Catalogue {
    fn from(grants: Vec<Grant>) -> Self {
        Self(grants.into())
    }
}

impl Catalogue {
    /// Whether there is such a permission, and roles can have it.
    pub(crate) fn has(&self, permission: &str) -> bool {
        self.0.iter().any(|grant| grant.permission == permission && !grant.roles.is_empty())
    }

    /// The permissions that a caller has.
    pub fn held_by(&self, caller: &Caller) -> Vec<String> {
        self.0.iter().filter(|grant| caller.may(grant.permission)).map(|grant| grant.permission.to_owned()).collect()
    }

    /// Somebody who has these permissions, as far as there still are such: what they rest on was looked up before.
    pub fn holder(&self, tenant: TenantId, subject: &str, permissions: &[String]) -> Caller {
        let held = self.0.iter().map(|grant| grant.permission).filter(|one| permissions.iter().any(|held| held == one));
        Caller::holding(tenant, subject, held.collect())
    }

    fn of_built_in(&self, role: kernel::Role) -> impl Iterator<Item = &'static str> {
        self.0.iter().filter(move |grant| grant.roles.contains(&role)).map(|grant| grant.permission)
    }
}

/// What a role allows, with what it includes.
pub(crate) struct Allowed {
    pub(crate) permissions: BTreeSet<String>,
    /// Every role that was looked at: itself, and what it includes.
    pub(crate) roles: BTreeSet<String>,
}

/// What roles allow together; a name that is no role's, or a retired one's, allows nothing and is in `roles` all the same.
pub(crate) async fn allowed(
    work: &mut Work<'_>,
    catalogue: &Catalogue,
    names: impl IntoIterator<Item = String>,
) -> Result<Allowed, Refusal> {
    let mut open: Vec<String> = names.into_iter().collect();
    let mut found = Allowed { permissions: BTreeSet::new(), roles: BTreeSet::new() };
    while let Some(name) = open.pop() {
        if found.roles.len() > MOST_ROLES {
            let detail = format!("these roles include more than {MOST_ROLES} other roles");
            return Err(Refusal::unprocessable("too_many_roles", detail));
        }
        if !found.roles.insert(name.clone()) {
            continue;
        }
        if let Ok(role) = name.parse::<kernel::Role>() {
            found.permissions.extend(catalogue.of_built_in(role).map(str::to_owned));
        } else if let Some(role) = find(work, &name).await? {
            found.permissions.extend(role.permissions.iter().cloned());
            open.extend(role.includes.iter().cloned());
        }
    }
    Ok(found)
}

/// A role that the tenant defined and did not retire.
async fn find(work: &mut Work<'_>, name: &str) -> Result<Option<Arc<Role>>, Refusal> {
    let id = RoleId::of(work.caller().tenant(), name);
    Ok(work.rely::<Role>(id).await?.filter(|role| !role.retired))
}

/// Refuses a role that there is not.
pub(crate) async fn existing_role(work: &mut Work<'_>, name: &str, pointer: &str) -> Result<(), Refusal> {
    if name.parse::<kernel::Role>().is_ok() || find(work, name).await?.is_some() {
        return Ok(());
    }
    let built_in = kernel::Role::ALL.map(kernel::Role::as_str).join(", ");
    let detail = format!("there is no role {name:?}; allowed are {built_in}, and roles defined by the tenant");
    Err(unknown(pointer, "not_found", detail))
}

/// Refuses to give or take roles that allow more than the caller may.
pub(crate) async fn within_own(
    work: &mut Work<'_>,
    catalogue: &Catalogue,
    roles: impl IntoIterator<Item = String>,
) -> Result<(), Refusal> {
    let allowed = allowed(work, catalogue, roles).await?.permissions;
    work.caller().reaches(allowed.iter().map(String::as_str))
}

/// Refuses to act on a user who may do more than the caller.
pub(crate) async fn over(work: &mut Work<'_>, catalogue: &Catalogue, user: &User) -> Result<(), Refusal> {
    let roles = roles_of(work, user).await?;
    within_own(work, catalogue, roles).await
}

/// Refuses to act on a user of whom it can't be told what they may do, by who may do less than an administrator.
pub(crate) async fn over_anybody(work: &mut Work<'_>, catalogue: &Catalogue) -> Result<(), Refusal> {
    within_own(work, catalogue, [kernel::Role::Admin.as_str().to_owned()]).await
}

/// A user's roles: their own, and those of their groups.
pub(crate) async fn roles_of(work: &mut Work<'_>, user: &User) -> Result<BTreeSet<String>, Refusal> {
    let mut roles = user.roles.clone();
    for group in user.groups.clone() {
        roles.extend(group_roles(work, group).await?);
    }
    Ok(roles)
}

/// The roles that a group gives.
pub(crate) async fn group_roles(work: &mut Work<'_>, group: GroupId) -> Result<BTreeSet<String>, Refusal> {
    let group = work.rely::<Group>(group).await?.filter(|group| !group.dissolved);
    Ok(group.map(|group| group.roles.clone()).unwrap_or_default())
}

/// The error of a permission that there is not.
pub(crate) fn unknown_permission(pointer: String, permission: &str) -> FieldError {
    let detail = format!("there is no permission {permission:?}; `GET /v1/user/permissions` lists all permissions");
    FieldError { pointer, code: "permission_unknown", detail }
}
