//! The input of a dry run: a hypothetical change of policy, and its validation.

use std::collections::{BTreeMap, BTreeSet};

use face::graphql::{Context, refuse, unreadable};
use juniper::{FieldResult, GraphQLInputObject};
use kernel::{Refusal, Role};
use sqlx::types::Json;
use user_aggregates::{MOST_INCLUDED_ROLES, RoleTraversal};
use user_commands::lengths;
use user_projections::dry_run::{self, Definition};
use user_projections::{groups, people, roles};
use uuid::Uuid;

use crate::SERVICE;

/// Maximum number of roles, of groups and of subjects in a change.
const MAX_ENTRIES: usize = 100;

/// A hypothetical change of roles, groups and subjects. Everything that it does not name stays as it was at each time.
#[derive(Clone, Debug, GraphQLInputObject)]
pub struct PolicyChange {
    /// Definitions of existing or new roles. Built-in roles can't be changed.
    roles: Option<Vec<PolicyRole>>,
    /// Roles that groups would grant.
    groups: Option<Vec<PolicyGroup>>,
    /// Roles that users and machines would have of their own.
    subjects: Option<Vec<PolicySubject>>,
}

/// The complete definition that a role would have.
#[derive(Clone, Debug, GraphQLInputObject)]
pub struct PolicyRole {
    /// Name of the role.
    name: String,
    /// Permissions of the role itself, without those of included roles.
    permissions: Option<Vec<String>>,
    /// Roles whose permissions are included.
    includes: Option<Vec<String>>,
    /// Whether the role would be retired and grant nothing any more.
    retired: Option<bool>,
}

/// The roles that a group would grant.
#[derive(Clone, Debug, GraphQLInputObject)]
pub struct PolicyGroup {
    /// Id of the group.
    id: Uuid,
    /// All roles that the group would grant.
    roles: Vec<String>,
}

/// The roles that a user or a machine would have of their own.
#[derive(Clone, Debug, GraphQLInputObject)]
pub struct PolicySubject {
    /// Id of the user or machine.
    id: Uuid,
    /// All roles that they would have of their own. Roles that groups grant to a user are not affected.
    roles: Vec<String>,
}

impl PolicyChange {
    /// Validates the change. It is refused if it could not be made in reality either.
    pub(super) async fn checked(self, context: &Context) -> FieldResult<dry_run::PolicyChange> {
        let Self { roles: changed, groups: given, subjects } = self;
        let (changed, given) = (changed.unwrap_or_default(), given.unwrap_or_default());
        let subjects = subjects.unwrap_or_default();
        for (what, count) in [("roles", changed.len()), ("groups", given.len()), ("subjects", subjects.len())] {
            if count > MAX_ENTRIES {
                let detail = format!("change.{what} has {count} entries; at most {MAX_ENTRIES} are allowed");
                return Err(refuse(Refusal::invalid("too_many", detail).with("argument", format!("change.{what}"))));
            }
        }
        let mut found = dry_run::PolicyChange::default();
        for (place, role) in changed.into_iter().enumerate() {
            let place = format!("change.roles.{place}");
            let (name, definition) = defined(context, &place, role)?;
            if found.roles.insert(name.clone(), definition).is_some() {
                return Err(unknown(&place, "named_twice", format!("the role {name} is named twice")));
            }
        }
        let known = known_roles(context, &found).await?;
        check_includes(&found, &known)?;
        for (place, group) in given.into_iter().enumerate() {
            let place = format!("change.groups.{place}");
            if found.groups.insert(group.id, existing(&place, group.roles, &known)?).is_some() {
                return Err(unknown(&place, "named_twice", format!("the group {} is named twice", group.id)));
            }
        }
        for (place, subject) in subjects.into_iter().enumerate() {
            let place = format!("change.subjects.{place}");
            if found.subjects.insert(subject.id, existing(&place, subject.roles, &known)?).is_some() {
                return Err(unknown(&place, "named_twice", format!("the subject {} is named twice", subject.id)));
            }
        }
        check_targets(context, &found).await?;
        Ok(found)
    }
}

/// Validates a role of the change. Returns its name and its definition; no definition if it would be retired.
fn defined(context: &Context, place: &str, role: PolicyRole) -> FieldResult<(String, Option<Definition>)> {
    let PolicyRole { name, permissions, includes, retired } = role;
    if name.parse::<Role>().is_ok() {
        let detail = format!("the role {name} is built in and can't be changed");
        return Err(unknown(place, "built_in", detail));
    }
    if !Role::is_name(&name) {
        let detail = "a role's name has 2 to 50 lower-case letters, digits and _, and begins with a letter";
        return Err(unknown(place, "not_a_role_name", detail.to_owned()));
    }
    let (permissions, includes) = (permissions.unwrap_or_default(), includes.unwrap_or_default());
    if permissions.len() > lengths::PERMISSIONS || includes.len() > lengths::ROLES {
        let detail = format!(
            "{place} has {} permissions and includes {} roles; at most {} and {} are allowed",
            permissions.len(),
            includes.len(),
            lengths::PERMISSIONS,
            lengths::ROLES
        );
        return Err(unknown(place, "too_many", detail));
    }
    let is_one =
        |name: &String| context.grants().iter().any(|grant| grant.permission == name && !grant.roles.is_empty());
    if let Some(none) = permissions.iter().find(|name| !is_one(name)) {
        let detail = format!("there is no permission {none:?}; `GET /v1/user/permissions` lists all permissions");
        return Err(unknown(place, "permission_unknown", detail));
    }
    let allows =
        Definition { permissions: permissions.into_iter().collect(), includes: includes.into_iter().collect() };
    Ok((name, (!retired.unwrap_or_default()).then_some(allows)))
}

/// All roles that would exist after the change, with the roles that they include.
async fn known_roles(
    context: &Context,
    change: &dry_run::PolicyChange,
) -> FieldResult<BTreeMap<String, BTreeSet<String>>> {
    let rows = {
        let mut tables = context.reader(SERVICE).await?;
        roles::list(&mut tables, context.caller().tenant()).await.map_err(unreadable)?
    };
    let there = rows.into_iter().filter(|role| !role.retired && !change.roles.contains_key(&role.name));
    let there = there.map(|role| {
        let Json(includes) = role.includes;
        (role.name, includes)
    });
    let built_in = Role::ALL.map(|role| (role.as_str().to_owned(), BTreeSet::new()));
    let new = change.roles.iter().filter_map(|(name, role)| Some((name.clone(), role.as_ref()?.includes.clone())));
    Ok(there.chain(built_in).chain(new).collect())
}

/// Refuses a role that would include an unknown role, too many, or itself.
fn check_includes(change: &dry_run::PolicyChange, known: &BTreeMap<String, BTreeSet<String>>) -> FieldResult<()> {
    for (name, definition) in &change.roles {
        let place = format!("change.roles ({name})");
        let includes = definition.iter().flat_map(|definition| definition.includes.iter().cloned()).collect::<Vec<_>>();
        let includes = existing(&place, includes, known)?;
        let included = RoleTraversal::through(includes, MOST_INCLUDED_ROLES, |role| known.get(role)).finish();
        if included.map_err(|error| unknown(&place, "too_many", error.to_string()))?.contains(name) {
            return Err(unknown(&place, "circular", format!("the role {name} would include itself")));
        }
    }
    Ok(())
}

/// Refuses role names that would not exist after the change.
fn existing(
    place: &str,
    names: Vec<String>,
    known: &BTreeMap<String, BTreeSet<String>>,
) -> FieldResult<BTreeSet<String>> {
    if names.len() > lengths::ROLES {
        let detail = format!("{place} has {} roles; at most {} are allowed", names.len(), lengths::ROLES);
        return Err(unknown(place, "too_many", detail));
    }
    if let Some(none) = names.iter().find(|name| !known.contains_key(*name)) {
        let detail = format!("there is no role {none:?}, and the change does not define one");
        return Err(unknown(place, "role_unknown", detail));
    }
    Ok(names.into_iter().collect())
}

/// Refuses a group, user or machine that does not exist.
async fn check_targets(context: &Context, change: &dry_run::PolicyChange) -> FieldResult<()> {
    let tenant = context.caller().tenant();
    let wanted: Vec<Uuid> = change.groups.keys().copied().collect();
    let subjects: Vec<Uuid> = change.subjects.keys().copied().collect();
    let (groups, people) = {
        let mut tables = context.reader(SERVICE).await?;
        let groups = groups::find(&mut tables, tenant, &wanted).await.map_err(unreadable)?;
        (groups, people::find(&mut tables, tenant, &subjects).await.map_err(unreadable)?)
    };
    let groups: BTreeSet<Uuid> = groups.into_iter().map(|row| row.group_id).collect();
    if let Some(none) = wanted.iter().find(|group| !groups.contains(*group)) {
        return Err(unknown("change.groups", "not_found", format!("there is no group {none}")));
    }
    let people: BTreeSet<Uuid> = people.into_iter().map(|row| row.user_id).collect();
    let others: Vec<Uuid> = change.subjects.keys().filter(|subject| !people.contains(*subject)).copied().collect();
    let machines: BTreeSet<Uuid> = match others.as_slice() {
        [] => BTreeSet::new(),
        others => context.role_periods(others).await?.into_iter().map(|role_period| role_period.subject).collect(),
    };
    if let Some(none) = others.iter().find(|subject| !machines.contains(*subject)) {
        return Err(unknown("change.subjects", "not_found", format!("there is no user or machine {none}")));
    }
    Ok(())
}

fn unknown(place: &str, code: &'static str, detail: String) -> juniper::FieldError {
    refuse(Refusal::invalid(code, detail).with("argument", place))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_that_would_include_too_many_is_refused_as_it_is_in_reality() {
        // Each role includes the next one, so that the first one includes all others.
        let chain = |length: usize| {
            let name = |nth: usize| format!("role{nth}");
            let mut known: BTreeMap<_, _> =
                (1..length).map(|nth| (name(nth), BTreeSet::from([name(nth + 1)]))).collect();
            known.insert(name(length), BTreeSet::new());
            let first = Definition { includes: BTreeSet::from([name(1)]), ..Definition::default() };
            let roles = BTreeMap::from([("first".to_owned(), Some(first))]);
            check_includes(&dry_run::PolicyChange { roles, ..dry_run::PolicyChange::default() }, &known)
        };
        assert!(chain(MOST_INCLUDED_ROLES).is_ok());
        let refused = chain(MOST_INCLUDED_ROLES + 1).unwrap_err();
        assert!(refused.message().contains("more than 200 roles"), "{refused:?}");
    }
}
