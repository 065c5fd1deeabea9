//! The permissions of users and machines: now, as of any time, and how they changed between two times.
//!
//! A user's permissions are those of their roles and of their groups' roles, including the roles that these include. Roles and groups are
//! taken as they were at that time. The permissions of built-in roles are those of this version of the program: they have no history here,
//! and a release that changes them says so.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;

use folding::RolePeriod;
use folding::as_of::AsOf;
use kernel::{Grant, Role, TenantId, UserId};
use sqlx::PgConnection;
use user_aggregates::{MOST_RESOLVED_ROLES, RoleTraversal, UserStatus};
use uuid::Uuid;

use crate::people::{self, PersonHistoryRow};
use crate::{groups, roles};

/// How many users and machines are compared at once.
const PAGE: i64 = 500;
/// The most pages that are compared for one answer. The answer then says where it ended.
const PAGES: usize = 40;
/// The most users and machines that are compared for one answer.
pub const MOST_LOOKED_AT: i64 = PAGE * PAGES as i64;

/// A tenant's policy at one time: the permissions of its roles, and the roles of its groups.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Policy {
    /// The permissions of each role, including those of included roles; of built-in roles and of the tenant's own.
    roles: HashMap<String, BTreeSet<String>>,
    /// The roles that the members of each group get.
    groups: HashMap<Uuid, BTreeSet<String>>,
}

/// A user's roles and permissions at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// The permissions, each with the roles that grant it.
    pub permissions: BTreeMap<String, BTreeSet<String>>,
    /// The roles, including those of the user's groups.
    pub roles: BTreeSet<String>,
}

/// How the permissions of a user or machine differ between two times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessChange {
    /// The user or machine, as the subject in their tokens.
    pub user: UserId,
    /// The permissions at the later time only.
    pub gained: BTreeSet<String>,
    /// The permissions at the earlier time only.
    pub lost: BTreeSet<String>,
}

/// A page of changes of access, and where the comparison ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessChanges {
    /// The changes, in the order of the subjects' ids.
    pub changes: Vec<AccessChange>,
    /// The last subject that was compared, if there may be more changes.
    pub more_after: Option<UserId>,
}

impl Policy {
    /// A tenant's policy as of a moment, with the groups in `wanted`. `grants` is the whole permission table.
    pub async fn at(
        tables: &mut PgConnection,
        tenant: TenantId,
        grants: &[Grant],
        wanted: &BTreeSet<Uuid>,
        as_of: AsOf,
    ) -> Result<Self, sqlx::Error> {
        let defined = roles::versions_as_of(tables, tenant, as_of).await?;
        let wanted: Vec<Uuid> = wanted.iter().copied().collect();
        let groups = groups::versions_as_of(tables, tenant, &wanted, as_of).await?;
        let defined = defined.into_iter().filter(|role| !role.retired);
        let mut policy = Self::of(grants, defined.map(|role| (role.name, role.permissions.0, role.includes.0)));
        policy.groups =
            groups.into_iter().filter(|group| !group.dissolved).map(|group| (group.group_id, group.roles.0)).collect();
        Ok(policy)
    }

    /// The policy of the built-in roles of a permission table and of roles that a tenant defined: name, permissions, included roles.
    pub fn of(
        grants: &[Grant],
        defined: impl IntoIterator<Item = (String, BTreeSet<String>, BTreeSet<String>)>,
    ) -> Self {
        let built_in = Role::ALL.map(|role| {
            (role.as_str().to_owned(), (role.permissions(grants).map(str::to_owned).collect(), BTreeSet::new()))
        });
        let defined = defined.into_iter().map(|(name, permissions, includes)| (name, (permissions, includes)));
        let parts: HashMap<String, (BTreeSet<String>, BTreeSet<String>)> =
            built_in.into_iter().chain(defined).collect();
        let roles = parts.keys().map(|name| (name.clone(), flattened(&parts, name))).collect();
        Self { roles, groups: HashMap::new() }
    }

    /// The permissions of these roles together. Unknown roles have none.
    pub fn allows<'a>(&self, roles: impl IntoIterator<Item = &'a str>) -> BTreeSet<&str> {
        roles.into_iter().filter_map(|role| self.roles.get(role)).flatten().map(String::as_str).collect()
    }

    /// The access of a user. A user who is not active has none.
    pub fn access(&self, user: &PersonHistoryRow) -> Access {
        let mut access = Access::default();
        if user.status.0 != UserStatus::Active {
            return access;
        }
        access.roles = user.roles.iter().cloned().collect();
        access.roles.extend(user.groups.iter().filter_map(|group| self.groups.get(group)).flatten().cloned());
        self.filled(access)
    }

    /// The access of another subject, such as a machine, with these roles.
    pub fn access_by(&self, roles: BTreeSet<String>) -> Access {
        self.filled(Access { roles, ..Access::default() })
    }

    /// Adds the permissions of the roles.
    fn filled(&self, mut access: Access) -> Access {
        for role in &access.roles {
            for permission in self.roles.get(role).into_iter().flatten() {
                access.permissions.entry(permission.clone()).or_default().insert(role.clone());
            }
        }
        access
    }
}

/// The permissions of a role and of all roles that it includes, as far as they are resolved for the bearer of that role alone.
fn flattened(parts: &HashMap<String, (BTreeSet<String>, BTreeSet<String>)>, name: &str) -> BTreeSet<String> {
    let found = RoleTraversal::through([name.to_owned()], MOST_RESOLVED_ROLES, |role| {
        parts.get(role).map(|(_, includes)| includes)
    });
    let found = found.visited().iter().filter_map(|role| parts.get(role));
    found.flat_map(|(permissions, _)| permissions).cloned().collect()
}

/// The access of a user as of a moment; `None` if the user did not exist or was not known then.
pub async fn access(
    tables: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
    grants: &[Grant],
    as_of: AsOf,
) -> Result<Option<Access>, sqlx::Error> {
    Ok(accesses(tables, tenant, &[user.uuid()], grants, as_of).await?.remove(&user.uuid()))
}

/// The access of users as of a moment, by their ids, without users who did not exist or were not known then.
pub async fn accesses(
    tables: &mut PgConnection,
    tenant: TenantId,
    users: &[Uuid],
    grants: &[Grant],
    as_of: AsOf,
) -> Result<HashMap<Uuid, Access>, sqlx::Error> {
    let rows = people::versions_as_of(tables, tenant, users, as_of).await?;
    if rows.is_empty() {
        return Ok(HashMap::new());
    }
    let groups = rows.iter().flat_map(|row| row.groups.iter().copied()).collect();
    let policy = Policy::at(tables, tenant, grants, &groups, as_of).await?;
    Ok(rows.iter().map(|row| (row.user_id, policy.access(row))).collect())
}

/// At most `limit` subjects whose access at `to` differs from that at `from`: of the users with ids after `after`, and of `others`. Those
/// are subjects that are not users, such as machines; pass the first [`MOST_LOOKED_AT`] after `after`.
pub async fn changes(
    tables: &mut PgConnection,
    tenant: TenantId,
    grants: &[Grant],
    (from, to): (AsOf, AsOf),
    others: &[RolePeriod],
    after: Option<UserId>,
    limit: usize,
) -> Result<AccessChanges, sqlx::Error> {
    let (mut found, mut last) = (AccessChanges::default(), after);
    let page = PAGE as usize;
    let mut role_periods: BTreeMap<Uuid, Vec<&RolePeriod>> = BTreeMap::new();
    for role_period in others {
        role_periods.entry(role_period.subject).or_default().push(role_period);
    }
    for _ in 0..PAGES {
        let users = people::ids(tables, tenant, last, PAGE).await?;
        let beyond = last.map_or(Bound::Unbounded, |last| Bound::Excluded(last.uuid()));
        let others: Vec<Uuid> =
            role_periods.range((beyond, Bound::Unbounded)).map(|(subject, _)| *subject).take(page).collect();
        let mut subjects: Vec<Uuid> = users.iter().chain(&others).copied().collect();
        let ended = users.len() < page && others.len() < page && subjects.len() <= page;
        subjects.sort_unstable();
        subjects.truncate(page);
        let then = by_user(people::versions_as_of(tables, tenant, &subjects, from).await?);
        let now = by_user(people::versions_as_of(tables, tenant, &subjects, to).await?);
        let groups = then.values().chain(now.values()).flat_map(|row| row.groups.iter().copied()).collect();
        let policy_then = Policy::at(tables, tenant, grants, &groups, from).await?;
        let policy_now = Policy::at(tables, tenant, grants, &groups, to).await?;
        for subject in subjects {
            let may = |policy: &Policy, rows: &HashMap<Uuid, PersonHistoryRow>, as_of: AsOf| -> BTreeSet<String> {
                let of_other = || role_periods.get(&subject)?.iter().find(|role_period| role_period.held(as_of));
                let access = match rows.get(&subject) {
                    Some(row) => policy.access(row),
                    None => {
                        of_other().map(|role_period| policy.access_by(role_period.roles.clone())).unwrap_or_default()
                    }
                };
                access.permissions.into_keys().collect()
            };
            let (before, after) = (may(&policy_then, &then, from), may(&policy_now, &now, to));
            last = Some(UserId::new(subject));
            if before != after {
                let gained = after.difference(&before).cloned().collect();
                let lost = before.difference(&after).cloned().collect();
                found.changes.push(AccessChange { user: UserId::new(subject), gained, lost });
                if found.changes.len() == limit {
                    found.more_after = last;
                    return Ok(found);
                }
            }
        }
        if ended {
            return Ok(found);
        }
    }
    found.more_after = last;
    Ok(found)
}

fn by_user(rows: Vec<PersonHistoryRow>) -> HashMap<Uuid, PersonHistoryRow> {
    rows.into_iter().map(|row| (row.user_id, row)).collect()
}
