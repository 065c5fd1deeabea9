//! Resolves the permissions of roles, and protects against privilege escalation: nobody may grant, take or control more permissions than
//! they have themselves.
//!
//! Everything that is looked up here is [relied](Work::rely) on: if another command or process changes the permissions of a role or group
//! in the meantime, the append fails and the command runs again.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use executor::{Standing, Work};
use kernel::{Caller, Grant, Machines, Refusal, TenantId, UserId};
use user_aggregates::{Group, GroupId, MOST_INCLUDED_ROLES, MOST_RESOLVED_ROLES, Role, RoleId, RoleTraversal, User};
use uuid::Uuid;

use crate::grants::SELF;

/// All permissions: the permission tables of all services.
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
    /// Whether the permission exists and roles can have it.
    pub(crate) fn has(&self, permission: &str) -> bool {
        self.0.iter().any(|grant| grant.permission == permission && !grant.roles.is_empty())
    }

    /// The permissions that a caller has.
    pub fn held_by(&self, caller: &Caller) -> Vec<String> {
        self.0.iter().filter(|grant| caller.may(grant.permission)).map(|grant| grant.permission.to_owned()).collect()
    }

    /// A caller with those of these permissions that exist. Nothing is looked up, so the caller of this must have verified them.
    pub fn holder(&self, tenant: TenantId, subject: &str, permissions: &[String]) -> Caller {
        let held = self.0.iter().map(|grant| grant.permission).filter(|one| permissions.iter().any(|held| held == one));
        Caller::holding(tenant, subject, held.collect())
    }

    fn of_administrators(&self) -> impl Iterator<Item = &'static str> {
        kernel::Role::Admin.permissions(&*self.0)
    }
}

/// With what a command looks up what somebody else than its caller may do now. Users, roles and groups are in the service's own log, so the
/// append [relies](Work::rely) on what was found. Services without this log look up [`executor::SubjectsElsewhere`].
#[derive(Clone)]
pub struct SubjectsInLog {
    pub catalogue: Catalogue,
    /// Looks up machines.
    pub machines: Arc<dyn Machines>,
}

impl fmt::Debug for SubjectsInLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SubjectsInLog({:?})", self.catalogue)
    }
}

impl SubjectsInLog {
    /// What the user or machine with this id may do now, as their tokens would say: if their roles include too many others, the permissions
    /// of some of these are left out.
    pub(crate) async fn standing(&self, work: &mut Work<'_>, subject: Uuid) -> Result<Standing<String>, Refusal> {
        let (roles, of_all) = if let Some(user) = work.rely::<User>(UserId::new(subject)).await? {
            if !user.may_sign_in() {
                return Ok(Standing::Inactive);
            }
            (roles_of(work, &user).await?, Some(SELF.to_owned()))
        } else {
            match self.machines.standing(work.caller().tenant(), subject).await? {
                Some(machine) if machine.active => (machine.roles.into_iter().collect(), None),
                Some(_) => return Ok(Standing::Inactive),
                None => return Ok(Standing::Unknown),
            }
        };
        let (mut permissions, _) = resolve(work, &self.catalogue, roles, MOST_RESOLVED_ROLES).await?;
        permissions.extend(of_all);
        Ok(Standing::Active(permissions))
    }

    /// Whether somebody with these permissions may give these roles; not if the roles include too many others to be followed, unless they
    /// have all permissions of administrators. The same rule as that of [`require_within_own`].
    pub(crate) async fn may_give(
        &self,
        work: &mut Work<'_>,
        held: &BTreeSet<String>,
        roles: impl IntoIterator<Item = String>,
    ) -> Result<bool, Refusal> {
        if self.catalogue.of_administrators().all(|permission| held.contains(permission)) {
            return Ok(true);
        }
        let (given, roles) = resolve(work, &self.catalogue, roles, MOST_INCLUDED_ROLES).await?;
        Ok(!roles.is_truncated() && given.is_subset(held))
    }
}

/// The permissions of roles, including those of included roles.
pub(crate) struct Allowed {
    pub(crate) permissions: BTreeSet<String>,
    /// All roles that were looked up: the given ones and those they include.
    pub(crate) roles: BTreeSet<String>,
}

/// The union of the permissions of roles. The name of an unknown or retired role adds no permissions, but is in `roles`.
///
/// # Errors
/// `too_many_roles`: they include more than a command follows.
pub(crate) async fn allowed(
    work: &mut Work<'_>,
    catalogue: &Catalogue,
    names: impl IntoIterator<Item = String>,
) -> Result<Allowed, Refusal> {
    let (permissions, roles) = resolve(work, catalogue, names, MOST_INCLUDED_ROLES).await?;
    Ok(Allowed { permissions, roles: roles.finish()? })
}

/// The permissions of at most `limit` of these roles and those that they include, and which roles these are.
async fn resolve(
    work: &mut Work<'_>,
    catalogue: &Catalogue,
    names: impl IntoIterator<Item = String>,
    limit: usize,
) -> Result<(BTreeSet<String>, RoleTraversal), Refusal> {
    let mut roles = RoleTraversal::new(names, limit);
    let mut permissions = BTreeSet::<String>::new();
    while let Some(name) = roles.next_role() {
        if let Ok(role) = name.parse::<kernel::Role>() {
            permissions.extend(role.permissions(&*catalogue.0).map(str::to_owned));
        } else if let Some(role) = find(work, &name).await? {
            permissions.extend(role.permissions.iter().cloned());
            roles.include(role.includes.iter().cloned());
        }
    }
    Ok((permissions, roles))
}

/// A role that the tenant defined and has not retired.
async fn find(work: &mut Work<'_>, name: &str) -> Result<Option<Arc<Role>>, Refusal> {
    let id = RoleId::of(work.caller().tenant(), name);
    Ok(work.rely::<Role>(id).await?.filter(|role| !role.retired))
}

/// Refuses a role that does not exist.
pub(crate) async fn existing_role(work: &mut Work<'_>, name: &str, pointer: &str) -> Result<(), Refusal> {
    if name.parse::<kernel::Role>().is_ok() || find(work, name).await?.is_some() {
        return Ok(());
    }
    let built_in = kernel::Role::ALL.map(kernel::Role::as_str).join(", ");
    let detail = format!("there is no role {name:?}; allowed are {built_in}, and roles defined by the tenant");
    Err(Refusal::reference(pointer, "not_found", detail))
}

/// Refuses roles that do not exist. `names` are the roles as they were sent, so that the pointer is to the place of the wrong one.
pub(crate) async fn existing_roles(work: &mut Work<'_>, names: &[String], pointer: &str) -> Result<(), Refusal> {
    for (place, name) in names.iter().enumerate() {
        existing_role(work, name, &format!("{pointer}/{place}")).await?;
    }
    Ok(())
}

/// Refuses to give or take roles that have permissions that the caller lacks.
///
/// Who has all permissions of administrators lacks none. So roles that include too many others to be followed keep nobody out of the reach
/// of administrators.
pub(crate) async fn require_within_own(
    work: &mut Work<'_>,
    catalogue: &Catalogue,
    roles: impl IntoIterator<Item = String>,
) -> Result<(), Refusal> {
    let exceeding = exceeding(work, catalogue, roles, None).await?;
    work.caller().require_all(exceeding.iter().map(String::as_str))
}

/// The permissions of roles that the caller lacks, or that are missing in `limit`: none for who has all permissions of administrators, whatever
/// the roles include.
///
/// # Errors
/// `too_many_roles`: for anybody else, they include more than a command follows.
pub(crate) async fn exceeding(
    work: &mut Work<'_>,
    catalogue: &Catalogue,
    roles: impl IntoIterator<Item = String>,
    limit: Option<&BTreeSet<String>>,
) -> Result<Vec<String>, Refusal> {
    let may = |caller: &Caller, one: &str| caller.may(one) && limit.is_none_or(|limit| limit.contains(one));
    if catalogue.of_administrators().all(|one| may(work.caller(), one)) {
        return Ok(Vec::new());
    }
    let allowed = allowed(work, catalogue, roles).await?.permissions;
    Ok(allowed.into_iter().filter(|one| !may(work.caller(), one)).collect())
}

/// Refuses to act on a user who has permissions that the caller lacks.
pub(crate) async fn authorize_over(work: &mut Work<'_>, catalogue: &Catalogue, user: &User) -> Result<(), Refusal> {
    let roles = roles_of(work, user).await?;
    require_within_own(work, catalogue, roles).await
}

/// Refuses to act on a user whose permissions can't be determined, unless the caller has all permissions of administrators.
pub(crate) fn authorize_over_anybody(work: &Work<'_>, catalogue: &Catalogue) -> Result<(), Refusal> {
    work.caller().require_all(catalogue.of_administrators())
}

/// A user's roles: their own and those of their groups.
pub(crate) async fn roles_of(work: &mut Work<'_>, user: &User) -> Result<BTreeSet<String>, Refusal> {
    let mut roles = user.roles.clone();
    for group in user.groups.clone() {
        roles.extend(group_roles(work, group).await?);
    }
    Ok(roles)
}

/// The roles that a group gives its members.
pub(crate) async fn group_roles(work: &mut Work<'_>, group: GroupId) -> Result<BTreeSet<String>, Refusal> {
    let group = work.rely::<Group>(group).await?.filter(|group| !group.dissolved);
    Ok(group.map(|group| group.roles.clone()).unwrap_or_default())
}
