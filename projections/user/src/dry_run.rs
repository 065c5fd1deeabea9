//! Dry run of a policy change: finds the past actions that would have been refused under it.
//!
//! An action was authorized by what the log had recorded just before it: the subject's roles and groups, and what these allowed. The dry
//! run looks up this state and judges each action twice: without the change, and with it as if it had always been in force. If the roles do
//! not allow the action even without the change, it was authorized in another way (a saga, an operator, the sign-in protocols), and the
//! change does not affect it. The permissions of built-in roles are always those of this version of the program.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use folding::RolePeriod;
use folding::history::during;
use folding::role_period::held_before;
use kernel::{Grant, TenantId};
use sqlx::PgConnection;
use user_aggregates::UserStatus;
use uuid::Uuid;

use crate::access::Policy;
use crate::groups::GroupHistoryRow;
use crate::people::PersonHistoryRow;
use crate::roles::{self, RoleHistoryRow};

/// The start and end of a period; without an end, until now.
pub type Period = (DateTime<Utc>, Option<DateTime<Utc>>);

/// A policy change. Roles, groups and subjects that it does not name stay as they were at each time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyChange {
    /// New definitions of roles by name; `None` removes the role.
    pub roles: BTreeMap<String, Option<Definition>>,
    /// New roles of groups.
    pub groups: BTreeMap<Uuid, BTreeSet<String>>,
    /// New direct roles of users and machines.
    pub subjects: BTreeMap<Uuid, BTreeSet<String>>,
}

/// The definition of a role.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Definition {
    /// The permissions of the role itself.
    pub permissions: BTreeSet<String>,
    /// The included roles, whose permissions it has, too.
    pub includes: BTreeSet<String>,
}

/// The result for a past action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It would have been allowed.
    Allowed,
    /// It would have been refused because this permission is missing.
    Refused(String),
    /// It was not authorized by roles that are recorded here.
    Otherwise,
    /// The permissions that it needed were not recorded.
    Unrecorded,
}

/// The roles and groups of a subject during a period.
struct Membership {
    period: RolePeriod,
    groups: BTreeSet<Uuid>,
}

/// A cache of the permissions of sets of roles, by era and whether the change applies.
type Allowed = HashMap<(usize, bool, BTreeSet<String>), Arc<BTreeSet<String>>>;

/// A dry run of a policy change on the actions of a period.
pub struct DryRun<'g> {
    grants: &'g [Grant],
    change: PolicyChange,
    period: Period,
    roles: Vec<RoleHistoryRow>,
    /// When the log recorded changes of role definitions, in order. Between two of these times (an era) no definition changes.
    eras: Vec<DateTime<Utc>>,
    groups: HashMap<Uuid, Vec<GroupHistoryRow>>,
    subjects: HashMap<Uuid, Vec<Membership>>,
    looked_up: HashSet<Uuid>,
    allowed: Allowed,
}

impl<'g> DryRun<'g> {
    /// Starts a dry run of a change. `grants` is the whole permission table.
    ///
    /// # Errors
    /// When the read models can't be read.
    pub async fn open(
        tables: &mut PgConnection,
        tenant: TenantId,
        grants: &'g [Grant],
        change: PolicyChange,
        period: Period,
    ) -> Result<Self, sqlx::Error> {
        let roles = roles::during(tables, tenant, period).await?;
        let mut eras: Vec<_> = roles.iter().map(|role| role.known_from).collect();
        eras.sort_unstable();
        eras.dedup();
        Ok(Self {
            grants,
            change,
            period,
            roles,
            eras,
            groups: HashMap::new(),
            subjects: HashMap::new(),
            looked_up: HashSet::new(),
            allowed: HashMap::new(),
        })
    }

    /// Loads the roles and groups of the subjects that are not loaded yet. Returns those that are not users; the caller passes their role
    /// periods to [`note`](Self::note).
    ///
    /// # Errors
    /// When the read models can't be read.
    pub async fn look_up(
        &mut self,
        tables: &mut PgConnection,
        tenant: TenantId,
        subjects: impl IntoIterator<Item = Uuid>,
    ) -> Result<Vec<Uuid>, sqlx::Error> {
        let new: BTreeSet<Uuid> = subjects.into_iter().filter(|subject| self.looked_up.insert(*subject)).collect();
        let new: Vec<Uuid> = new.into_iter().collect();
        let people: Vec<PersonHistoryRow> = during(tables, tenant, &new, self.period).await?;
        let groups: BTreeSet<Uuid> = people.iter().flat_map(|row| row.groups.iter().copied()).collect();
        let groups: Vec<Uuid> = groups.into_iter().filter(|group| !self.groups.contains_key(group)).collect();
        for group in &groups {
            self.groups.insert(*group, Vec::new());
        }
        for row in during::<GroupHistoryRow>(tables, tenant, &groups, self.period).await? {
            self.groups.entry(row.group_id).or_default().push(row);
        }
        for row in people {
            self.subjects.entry(row.user_id).or_default().push(membership(row));
        }
        Ok(new.into_iter().filter(|subject| !self.subjects.contains_key(subject)).collect())
    }

    /// Adds the role periods of subjects that are not users: machines.
    pub fn note(&mut self, role_periods: impl IntoIterator<Item = RolePeriod>) {
        for period in role_periods {
            let membership = Membership { period, groups: BTreeSet::new() };
            self.subjects.entry(membership.period.subject).or_default().push(membership);
        }
    }

    /// Judges a past action of a subject, which needed `permissions` (separated by spaces).
    pub fn judge(&mut self, subject: &str, permissions: Option<&str>, at: DateTime<Utc>) -> Verdict {
        let Some(permissions) = permissions else { return Verdict::Unrecorded };
        let Ok(subject) = kernel::read_uuid(subject) else { return Verdict::Otherwise };
        let memberships = self.subjects.get(&subject);
        let Some(membership) = memberships.and_then(|all| all.iter().find(|one| one.period.held_before(at))) else {
            return Verdict::Otherwise;
        };
        let (was, would_be) = (self.roles_of(membership, at, false), self.roles_of(membership, at, true));
        let before = self.allow(was, at, false);
        if !permissions.split(' ').all(|permission| before.contains(permission)) {
            return Verdict::Otherwise;
        }
        let after = self.allow(would_be, at, true);
        match permissions.split(' ').find(|permission| !after.contains(*permission)) {
            Some(permission) => Verdict::Refused(permission.to_owned()),
            None => Verdict::Allowed,
        }
    }

    /// The roles of a subject, including those of its groups.
    fn roles_of(&self, membership: &Membership, at: DateTime<Utc>, changed: bool) -> BTreeSet<String> {
        let own = self.change.subjects.get(&membership.period.subject).filter(|_| changed);
        let mut roles = own.unwrap_or(&membership.period.roles).clone();
        for group in &membership.groups {
            let versions = self.groups.get(group).into_iter().flatten();
            let then =
                versions.filter(|row| held_before(row.known_from, row.known_to.0, at)).find(|row| !row.dissolved);
            if let Some(row) = then {
                let given = self.change.groups.get(group).filter(|_| changed);
                roles.extend(given.unwrap_or(&row.roles.0).iter().cloned());
            }
        }
        roles
    }

    /// The permissions of these roles together, just before a time.
    fn allow(&mut self, roles: BTreeSet<String>, at: DateTime<Utc>, changed: bool) -> Arc<BTreeSet<String>> {
        let era = self.eras.partition_point(|change| *change < at);
        let key = (era, changed, roles);
        if let Some(known) = self.allowed.get(&key) {
            return known.clone();
        }
        let policy = self.policy(at, changed);
        let allowed = policy.allows(key.2.iter().map(String::as_str)).into_iter().map(str::to_owned).collect();
        self.allowed.entry(key).or_insert(Arc::new(allowed)).clone()
    }

    /// The policy just before a time, with or without the change.
    fn policy(&self, at: DateTime<Utc>, changed: bool) -> Policy {
        let then = self.roles.iter().filter(|row| held_before(row.known_from, row.known_to.0, at) && !row.retired);
        let then = then.map(|row| (row.name.clone(), row.permissions.0.clone(), row.includes.0.clone()));
        if !changed {
            return Policy::of(self.grants, then);
        }
        let kept = then.filter(|(name, ..)| !self.change.roles.contains_key(name));
        let new = self.change.roles.iter().filter_map(|(name, definition)| {
            let Definition { permissions, includes } = definition.clone()?;
            Some((name.clone(), permissions, includes))
        });
        Policy::of(self.grants, kept.chain(new))
    }
}

/// The roles and groups of a version of a user. A user who is not active has none.
fn membership(row: PersonHistoryRow) -> Membership {
    let active = row.status.0 == UserStatus::Active;
    let (roles, groups) = if active { (row.roles.0, row.groups.0) } else { Default::default() };
    Membership { period: RolePeriod { subject: row.user_id, from: row.known_from, to: row.known_to.0, roles }, groups }
}
