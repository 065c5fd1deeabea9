//! Groups as SCIM has them, and what is asked of them. Which roles a group gives is said here, not by the provider.

use std::collections::BTreeSet;
use std::sync::Arc;

use executor::Request;
use kernel::{Caller, TenantId, UserId};
use poem::http::StatusCode;
use projector::Transaction;
use serde_json::{Map, Value, json};
use user_aggregates::{Group, GroupId};
use user_commands::{ChangeGroupMembers, CreateGroup, DissolveGroup, RenameGroup, lengths};
use user_projections::groups::{self, GroupFilter};
use user_projections::people::{self, PersonFilter};
use uuid::Uuid;

use super::error::ScimError;
use super::json::{get, remove as remove_attribute, text};
use super::list::{Asked, LOOKED_THROUGH, Shown};
use super::patch::{self, Act, Operation, Target};
use super::user::unreadable;
use super::visit::Visit;
use super::{Answer, Reply, Scim};

pub(super) const SCHEMA: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
pub(super) const PERMISSION: &str = "user:group:read";
const WRITE: &str = "user:group:write";
const WHAT: &str = "group";

/// The most members that are shown, or said, at once: of all groups of a page together.
const MOST_MEMBERS: i64 = 10_000;

/// `GET /Groups`
pub(super) async fn list(scim: &Scim, visit: Visit) -> Answer {
    visit.caller.require(PERMISSION)?;
    let (asked, tenant) = (Asked::of(&visit)?, visit.tenant());
    let mut tables = scim.current(tenant).await?;
    let name = asked.filter.as_ref().and_then(|filter| filter.equal_to("displayName", ""));
    let named = GroupFilter { name: name.map(str::to_owned) };
    // A tenant has hundreds of groups, not hundreds of thousands.
    let rows = groups::list(&mut tables, tenant, &named, None, LOOKED_THROUGH + 1).await.map_err(unreadable)?;
    if rows.len() as i64 > LOOKED_THROUGH {
        let detail = format!("the tenant has more than {LOOKED_THROUGH} groups: ask for one by displayName eq");
        return Err(ScimError::too_many(detail));
    }
    // Members cost much: they are read for what is shown. Of a filter that is about one of them, that one's groups are looked up.
    let member = asked.filter.as_ref().and_then(|filter| filter.equal_to("members", "value"));
    let theirs = match member {
        Some(id) => Some(groups_of(&mut tables, tenant, id).await?),
        None => None,
    };
    let mut resources = Vec::with_capacity(rows.len());
    for row in rows.iter().filter(|row| theirs.as_ref().is_none_or(|theirs| theirs.contains(&row.group_id))) {
        let mut resource = bare(scim, row.group_id, &row.name, row.version.cast_unsigned());
        resource["meta"]["created"] = time(row.created_at).into();
        resource["meta"]["lastModified"] = time(row.changed_at).into();
        if let Some(member) = member {
            // As much as the filter asks about.
            resource["members"] = json!([{ "value": member }]);
        }
        resources.push(resource);
    }
    let mut answer = asked.answer_of_all(resources);
    let mut room = if asked.shown.has("members") { MOST_MEMBERS } else { 0 };
    for resource in answer["Resources"].as_array_mut().into_iter().flatten() {
        let (Some(id), Some(resource)) =
            (resource["id"].as_str().and_then(|id| id.parse().ok()), resource.as_object_mut())
        else {
            continue;
        };
        remove_attribute(resource, "members");
        // From the first one on that does not fit they are left out, so that no page reads much more than it shows.
        let found = if room > 0 { rows_within(&mut tables, tenant, id, room).await? } else { None };
        room = found.as_ref().map_or(0, |found| room - found.len() as i64);
        if let Some(found) = found {
            resource.insert("members".to_owned(), members(scim, &visit.caller, found));
        }
    }
    Ok(Reply::ok(answer))
}

/// `GET /Groups/{id}`
pub(super) async fn read(scim: &Scim, visit: Visit) -> Answer {
    visit.caller.require(PERMISSION)?;
    let (id, shown) = (visit.resource(WHAT)?, Shown::of(&visit));
    shown_as_it_is(scim, &visit, id, StatusCode::OK, &shown).await
}

/// `POST /Groups`
pub(super) async fn create(scim: &Scim, visit: Visit) -> Answer {
    let (name, members) = wanted(&visit.object()?)?;
    let request = visit.request()?;
    let create = CreateGroup { name, roles: Vec::new(), catalogue: scim.catalogue.clone() };
    let id = scim.runtime.executor.execute(&request, &create).await?.answer;
    change_members(scim, &request, id, members.into_iter().collect(), Vec::new()).await?;
    shown_as_it_is(scim, &visit, id.uuid(), StatusCode::CREATED, &Shown::default()).await
}

/// `PUT /Groups/{id}`
pub(super) async fn replace(scim: &Scim, visit: Visit) -> Answer {
    let id = visit.resource(WHAT)?;
    let (name, members) = wanted(&visit.object()?)?;
    visit.caller.require(WRITE)?;
    let mut request = visit.request()?;
    let (group, _) = held(scim, &visit, &request, id).await?;
    rename(scim, &mut request, id, &group, name).await?;
    become_members(scim, &visit, &request, id, &members).await?;
    shown_as_it_is(scim, &visit, id, StatusCode::OK, &Shown::of(&visit)).await
}

/// `PATCH /Groups/{id}`
pub(super) async fn patch(scim: &Scim, visit: Visit) -> Answer {
    let id = visit.resource(WHAT)?;
    let operations = patch::operations(&visit.object()?)?;
    visit.caller.require(WRITE)?;
    // All of it is read before any of it is done.
    let steps = operations.into_iter().map(step).collect::<Result<Vec<_>, _>>()?;
    let mut request = visit.request()?;
    let (group, _) = held(scim, &visit, &request, id).await?;
    for step in steps {
        match step {
            Step::Nothing => {}
            Step::Rename(name) => rename(scim, &mut request, id, &group, name).await?,
            Step::Join(users) => change_members(scim, &request, GroupId::new(id), users, Vec::new()).await?,
            Step::Leave(users) => change_members(scim, &request, GroupId::new(id), Vec::new(), users).await?,
            Step::Become(users) => become_members(scim, &visit, &request, id, &users).await?,
        }
    }
    shown_as_it_is(scim, &visit, id, StatusCode::OK, &Shown::of(&visit)).await
}

/// `DELETE /Groups/{id}`
pub(super) async fn remove(scim: &Scim, visit: Visit) -> Answer {
    let id = visit.resource(WHAT)?;
    visit.caller.require(WRITE)?;
    load(scim, &visit, id).await?;
    let dissolve = DissolveGroup { group: GroupId::new(id), catalogue: scim.catalogue.clone() };
    scim.runtime.executor.execute(&visit.request()?, &dissolve).await?;
    Ok(Reply::nothing())
}

/// What an operation means for a group.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Nothing,
    Rename(String),
    Join(Vec<UserId>),
    Leave(Vec<UserId>),
    /// These and no others.
    Become(BTreeSet<UserId>),
}

fn step(operation: Operation) -> Result<Step, ScimError> {
    let Operation { act, target, value } = operation;
    let Some(Target { attribute, filter, sub }) = target else { return Ok(Step::Nothing) };
    let is = |name: &str| attribute.eq_ignore_ascii_case(name);
    if is("displayName") {
        return match (act, value.as_str().map(str::trim)) {
            (Act::Add | Act::Replace, Some(name)) if !name.is_empty() => Ok(Step::Rename(name.to_owned())),
            _ => Err(ScimError::value("displayName is a text, and can't be removed")),
        };
    }
    if !is("members") {
        // An id that is said as it is changes nothing; what we do not keep (externalId) is passed over.
        return Ok(Step::Nothing);
    }
    if sub.is_some() {
        return Err(ScimError::mutability("of members nothing can be written but who they are"));
    }
    match (act, filter) {
        (Act::Add, None) => users(&value).map(Step::Join),
        (Act::Replace, None) => users(&value).map(|users| Step::Become(users.into_iter().collect())),
        (Act::Remove, None) if value.is_null() => Ok(Step::Become(BTreeSet::new())),
        (Act::Remove, None) => users(&value).map(Step::Leave),
        (Act::Remove, Some(filter)) => match filter.equal_to("value", "").map(str::parse) {
            Some(Ok(user)) => Ok(Step::Leave(vec![user])),
            _ => Err(ScimError::path("members are removed by members[value eq \"<id>\"]")),
        },
        (Act::Add | Act::Replace, Some(_)) => Err(ScimError::path("members are added without a filter")),
    }
}

/// Who is named in a list of members: `{"value": "<id>"}`, or one of these alone.
fn users(value: &Value) -> Result<Vec<UserId>, ScimError> {
    let list = match value {
        Value::Null => &[][..],
        Value::Array(list) => list.as_slice(),
        one => std::slice::from_ref(one),
    };
    if list.len() as i64 > MOST_MEMBERS {
        return Err(ScimError::too_many(format!("{} members; allowed are {MOST_MEMBERS}", list.len())));
    }
    let user = |(place, member): (usize, &Value)| {
        let id = member.as_object().and_then(|member| get(member, "value")).and_then(Value::as_str);
        id.and_then(|id| id.parse().ok())
            .ok_or_else(|| ScimError::value(format!("member {place} has no value that is a user's id")))
    };
    list.iter().enumerate().map(user).collect()
}

fn wanted(body: &Map<String, Value>) -> Result<(String, BTreeSet<UserId>), ScimError> {
    let name = text(body, "displayName").ok_or_else(|| ScimError::value("displayName is missing"))?;
    let members = users(get(body, "members").unwrap_or(&Value::Null))?;
    Ok((name, members.into_iter().collect()))
}

async fn load(scim: &Scim, visit: &Visit, id: Uuid) -> Result<(Arc<Group>, u64), ScimError> {
    let found = scim.runtime.executor.load::<Group>(&visit.caller, &id.to_string()).await?;
    found.filter(|(group, _)| !group.dissolved).ok_or_else(|| ScimError::not_found(WHAT, visit.name()))
}

/// A group that is to be changed, if it is of the version that `If-Match` names: whatever is changed of it, also its members only, and also
/// when nothing comes of it.
async fn held(scim: &Scim, visit: &Visit, request: &Request, id: Uuid) -> Result<(Arc<Group>, u64), ScimError> {
    let (group, version) = load(scim, visit, id).await?;
    match request.if_match {
        Some(wanted) if wanted != version => Err(ScimError::version_differs(wanted, version)),
        _ => Ok((group, version)),
    }
}

/// Gives it another name. What follows is of another version, and not held against that of the request any more.
async fn rename(scim: &Scim, request: &mut Request, id: Uuid, group: &Group, name: String) -> Result<(), ScimError> {
    if group.name != name {
        scim.runtime.executor.execute(request, &RenameGroup { group: GroupId::new(id), name }).await?;
        request.if_match = None;
    }
    Ok(())
}

/// Takes users in and out, in as many appends as it needs.
async fn change_members(
    scim: &Scim,
    request: &Request,
    group: GroupId,
    join: Vec<UserId>,
    leave: Vec<UserId>,
) -> Result<(), ScimError> {
    // The version is the group's, and was looked at; its members stand in the users' streams.
    let request = Request { if_match: None, ..request.clone() };
    let mut both: Vec<_> = join.into_iter().map(|user| (user, true)).collect();
    both.extend(leave.into_iter().map(|user| (user, false)));
    for some in both.chunks(lengths::BATCH) {
        let those = |joins: bool| some.iter().filter(|(_, one)| *one == joins).map(|(user, _)| *user).collect();
        let (join, leave) = (those(true), those(false));
        let change = ChangeGroupMembers { group, join, leave, catalogue: scim.catalogue.clone() };
        scim.runtime.executor.execute(&request, &change).await?;
    }
    Ok(())
}

async fn become_members(
    scim: &Scim,
    visit: &Visit,
    request: &Request,
    id: Uuid,
    wanted: &BTreeSet<UserId>,
) -> Result<(), ScimError> {
    let mut tables = scim.current(visit.tenant()).await?;
    let before = rows(&mut tables, visit.tenant(), id).await?;
    drop(tables);
    let before: BTreeSet<UserId> = before.into_iter().map(|(user, _)| UserId::new(user)).collect();
    let (join, leave) = (wanted.difference(&before).copied(), before.difference(wanted).copied());
    change_members(scim, request, GroupId::new(id), join.collect(), leave.collect()).await
}

/// Who is in a group, by name.
async fn rows(tables: &mut Transaction, tenant: TenantId, group: Uuid) -> Result<Vec<(Uuid, String)>, ScimError> {
    rows_within(tables, tenant, group, MOST_MEMBERS).await?.ok_or_else(|| {
        let detail = format!("the group has more than {MOST_MEMBERS} members: ask with excludedAttributes=members");
        ScimError::too_many(detail)
    })
}

/// The same; none: there are more than `most`.
async fn rows_within(
    tables: &mut Transaction,
    tenant: TenantId,
    group: Uuid,
    most: i64,
) -> Result<Option<Vec<(Uuid, String)>>, ScimError> {
    let filter = PersonFilter { group: Some(GroupId::new(group)), ..PersonFilter::default() };
    let rows = people::first(tables, tenant, &filter, most + 1).await.map_err(unreadable)?;
    Ok((rows.len() as i64 <= most).then(|| rows.into_iter().map(|row| (row.user_id, row.name)).collect()))
}

/// The groups of a user, by an id that may be nobody's.
async fn groups_of(tables: &mut Transaction, tenant: TenantId, user: &str) -> Result<BTreeSet<Uuid>, ScimError> {
    let Ok(user) = user.parse::<Uuid>() else { return Ok(BTreeSet::new()) };
    let found = people::find(tables, tenant, &[user]).await.map_err(unreadable)?.pop();
    Ok(found.filter(|row| row.status.0.is_present()).map(|row| row.groups.0).unwrap_or_default())
}

/// Members as they are shown: their names only to who may see users.
fn members(scim: &Scim, caller: &Caller, rows: Vec<(Uuid, String)>) -> Value {
    let named = caller.may(super::user::PERMISSION);
    let member = |(id, name): (Uuid, String)| {
        let mut member = json!({ "value": id, "type": "User", "$ref": format!("{}/Users/{id}", scim.base) });
        if named {
            member["display"] = name.into();
        }
        member
    };
    rows.into_iter().map(member).collect()
}

fn bare(scim: &Scim, id: Uuid, name: &str, version: u64) -> Value {
    json!({
        "schemas": [SCHEMA],
        "id": id,
        "displayName": name,
        "meta": {
            "resourceType": "Group",
            "location": format!("{}/Groups/{id}", scim.base),
            "version": format!("W/\"{version}\""),
        },
    })
}

async fn shown_as_it_is(scim: &Scim, visit: &Visit, id: Uuid, status: StatusCode, shown: &Shown) -> Answer {
    let (group, version) = load(scim, visit, id).await?;
    let mut resource = bare(scim, id, &group.name, version);
    let mut tables = scim.current(visit.tenant()).await?;
    if let Some(row) = groups::find(&mut tables, visit.tenant(), &[id]).await.map_err(unreadable)?.pop() {
        resource["meta"]["created"] = time(row.created_at).into();
        resource["meta"]["lastModified"] = time(row.changed_at).into();
    }
    if shown.has("members") {
        resource["members"] = members(scim, &visit.caller, rows(&mut tables, visit.tenant(), id).await?);
    }
    Ok(Reply::resource(status, shown.of_resource(resource), version))
}

fn time(at: chrono::DateTime<chrono::Utc>) -> String {
    at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADA: &str = "0197a8a0-0000-7000-8000-00000000000a";

    fn steps(operation: Value) -> Result<Vec<Step>, ScimError> {
        let body = json!({ "Operations": [operation] });
        patch::operations(body.as_object().unwrap())?.into_iter().map(step).collect()
    }

    #[test]
    fn an_operation_on_members_is_who_comes_and_who_goes() {
        let ada = || vec![ADA.parse().unwrap()];
        let member = json!([{ "value": ADA }]);
        let cases = [
            (json!({ "op": "add", "path": "members", "value": member }), Step::Join(ada())),
            (json!({ "op": "Add", "value": { "members": member } }), Step::Join(ada())),
            (json!({ "op": "remove", "path": format!("members[value eq \"{ADA}\"]") }), Step::Leave(ada())),
            (json!({ "op": "Remove", "path": "members", "value": member }), Step::Leave(ada())),
            (json!({ "op": "remove", "path": "members" }), Step::Become(BTreeSet::new())),
            (json!({ "op": "replace", "path": "members", "value": member }), Step::Become(ada().into_iter().collect())),
            (json!({ "op": "replace", "path": "displayName", "value": "Sales" }), Step::Rename("Sales".to_owned())),
            (json!({ "op": "replace", "value": { "displayName": "Sales" } }), Step::Rename("Sales".to_owned())),
            (json!({ "op": "add", "path": "externalId", "value": "x" }), Step::Nothing),
        ];
        for (operation, expected) in cases {
            assert_eq!(steps(operation.clone()).unwrap(), [expected], "{operation}");
        }
        for (operation, scim_type) in [
            (json!({ "op": "add", "path": "members", "value": [{ "value": "no id" }] }), "invalidValue"),
            (json!({ "op": "remove", "path": "members[display eq \"Ada\"]" }), "invalidPath"),
            (json!({ "op": "remove", "path": "displayName" }), "invalidValue"),
            (json!({ "op": "replace", "path": "members.value", "value": ADA }), "mutability"),
        ] {
            assert_eq!(steps(operation.clone()).unwrap_err().scim_type, Some(scim_type), "{operation}");
        }
    }
}
