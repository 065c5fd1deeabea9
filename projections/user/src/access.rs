//! What users, and machines, may do: now, as of any time, and what changed between two times.
//!
//! A user's permissions are those of their roles and of their groups' roles, with what these include. Roles and groups are
//! looked at as they were at that time. What the built-in roles allow is what this program says: it has no history here, and a
//! release that changes it says so.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;

use folding::RolePeriod;
use folding::as_of::AsOf;
use kernel::{Grant, Role, TenantId, UserId};
use sqlx::PgConnection;
use user_aggregates::UserStatus;
use uuid::Uuid;

use crate::people::{self, PersonHistoryRow};
use crate::{groups, roles};

/// Users and machines that are looked at in one go.
const PAGE: i64 = 500;
/// So many pages are looked at for one answer; then it is given, with where it ended.
const PAGES: usize = 40;
/// The most who are looked at for one answer.
pub const MOST_LOOKED_AT: i64 = PAGE * PAGES as i64;

/// What the roles and groups of a tenant allow at one time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Policy {
    /// What each role allows, with what it includes: built-in and the tenant's own.
    roles: HashMap<String, BTreeSet<String>>,
    /// The roles that each group gives.
    groups: HashMap<Uuid, BTreeSet<String>>,
}

/// What a user may do at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// Each permission, and the roles by which they have it.
    pub permissions: BTreeMap<String, BTreeSet<String>>,
    /// Their roles, those of their groups included.
    pub roles: BTreeSet<String>,
}

/// What a user, or a machine, may do at one time and might not at another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessChange {
    /// Who: the subject of their tokens.
    pub user: UserId,
    /// What they may do at the later time only.
    pub gained: BTreeSet<String>,
    /// What they might do at the earlier time only.
    pub lost: BTreeSet<String>,
}

/// Changes of access, and where the search for them ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessChanges {
    /// In the order of their ids.
    pub changes: Vec<AccessChange>,
    /// The last one who was looked at, if there may be more.
    pub more_after: Option<UserId>,
}

impl Policy {
    /// A tenant's policy as of a moment. `grants` is the whole permission table; `wanted`: the groups that matter.
    pub async fn at(
        tables: &mut PgConnection,
        tenant: TenantId,
        grants: &[Grant],
        wanted: &BTreeSet<Uuid>,
        as_of: AsOf,
    ) -> Result<Self, sqlx::Error> {
        let defined = roles::standings(tables, tenant, as_of).await?;
        let wanted: Vec<Uuid> = wanted.iter().copied().collect();
        let groups = groups::standings(tables, tenant, &wanted, as_of).await?;
        let defined = defined.into_iter().filter(|role| !role.retired);
        let mut policy = Self::of(grants, defined.map(|role| (role.name, role.permissions.0, role.includes.0)));
        policy.groups =
            groups.into_iter().filter(|group| !group.dissolved).map(|group| (group.group_id, group.roles.0)).collect();
        Ok(policy)
    }

    /// The roles of a permission table and those that a tenant defined: name, permissions, included roles.
    pub fn of(
        grants: &[Grant],
        defined: impl IntoIterator<Item = (String, BTreeSet<String>, BTreeSet<String>)>,
    ) -> Self {
        let built_in = Role::ALL.map(|role| {
            let allowed = grants.iter().filter(|grant| grant.roles.contains(&role));
            (role.as_str().to_owned(), (allowed.map(|grant| grant.permission.to_owned()).collect(), BTreeSet::new()))
        });
        let defined = defined.into_iter().map(|(name, permissions, includes)| (name, (permissions, includes)));
        let parts: HashMap<String, (BTreeSet<String>, BTreeSet<String>)> =
            built_in.into_iter().chain(defined).collect();
        let roles = parts.keys().map(|name| (name.clone(), flattened(&parts, name))).collect();
        Self { roles, groups: HashMap::new() }
    }

    /// What these roles allow together; a name that is no role's allows nothing.
    pub fn allows<'a>(&self, roles: impl IntoIterator<Item = &'a str>) -> BTreeSet<&str> {
        roles.into_iter().filter_map(|role| self.roles.get(role)).flatten().map(String::as_str).collect()
    }

    /// What a user may do. Who may not sign in may do nothing.
    pub fn access(&self, user: &PersonHistoryRow) -> Access {
        let mut access = Access::default();
        if user.status.0 != UserStatus::Active {
            return access;
        }
        access.roles = user.roles.iter().cloned().collect();
        access.roles.extend(user.groups.iter().filter_map(|group| self.groups.get(group)).flatten().cloned());
        self.filled(access)
    }

    /// What somebody else may do, such as a machine, by these roles.
    pub fn access_by(&self, roles: BTreeSet<String>) -> Access {
        self.filled(Access { roles, ..Access::default() })
    }

    fn filled(&self, mut access: Access) -> Access {
        for role in &access.roles {
            for permission in self.roles.get(role).into_iter().flatten() {
                access.permissions.entry(permission.clone()).or_default().insert(role.clone());
            }
        }
        access
    }
}

/// What a role allows with all that it includes, however they include each other.
fn flattened(parts: &HashMap<String, (BTreeSet<String>, BTreeSet<String>)>, name: &str) -> BTreeSet<String> {
    let (mut open, mut seen, mut allowed) = (vec![name], BTreeSet::new(), BTreeSet::new());
    while let Some(name) = open.pop() {
        if let (true, Some((permissions, includes))) = (seen.insert(name), parts.get(name)) {
            allowed.extend(permissions.iter().cloned());
            open.extend(includes.iter().map(String::as_str));
        }
    }
    allowed
}

/// What a user may do as of a moment; `None`: they were not there, or not known.
pub async fn access(
    tables: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
    grants: &[Grant],
    as_of: AsOf,
) -> Result<Option<Access>, sqlx::Error> {
    Ok(accesses(tables, tenant, &[user.uuid()], grants, as_of).await?.remove(&user.uuid()))
}

/// What users may do as of a moment, by their ids; who was not there, or not known, is left out.
pub async fn accesses(
    tables: &mut PgConnection,
    tenant: TenantId,
    users: &[Uuid],
    grants: &[Grant],
    as_of: AsOf,
) -> Result<HashMap<Uuid, Access>, sqlx::Error> {
    let rows = people::standings(tables, tenant, users, as_of).await?;
    if rows.is_empty() {
        return Ok(HashMap::new());
    }
    let groups = rows.iter().flat_map(|row| row.groups.iter().copied()).collect();
    let policy = Policy::at(tables, tenant, grants, &groups, as_of).await?;
    Ok(rows.iter().map(|row| (row.user_id, policy.access(row))).collect())
}

/// Whose access is another at `to` than at `from`, of the users after `after` and of `others` (who are no users, such as machines:
/// the first [`MOST_LOOKED_AT`] after `after`), at most `limit` of them.
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
        let then = by_user(people::standings(tables, tenant, &subjects, from).await?);
        let now = by_user(people::standings(tables, tenant, &subjects, to).await?);
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
