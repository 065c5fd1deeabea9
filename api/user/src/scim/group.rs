//! Groups as SCIM has them, and what is asked of them. Which roles a group gives is said here, not by the provider.

use std::collections::BTreeSet;
use std::sync::Arc;

use kernel::{Caller, TenantId, UserId};
use poem::http::StatusCode;
use projector::Transaction;
use serde_json::{Value, json};
use user_aggregates::{Group, GroupId};
use user_commands::{DissolveGroup, ProvisionGroup, ReviseGroup};
use user_projections::groups::{self, ByName, GroupFilter};
use user_projections::people::{self, PersonFilter};
use uuid::Uuid;

use super::error::ScimError;
use super::filter::Filter;
use super::group_change::{Change, MOST_MEMBERS, Moves};
use super::json::{remove as remove_attribute, time};
use super::list::{Asked, LOOKED_THROUGH, Shown};
use super::user::unreadable;
use super::visit::Visit;
use super::{Answer, Reply, Scim};

pub(super) const SCHEMA: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
pub(super) const PERMISSION: &str = "user:group:read";
const WRITE: &str = "user:group:write";
const WHAT: &str = "group";

/// `GET /Groups`
pub(super) async fn list(scim: &Scim, visit: Visit) -> Answer {
    let asked = Asked::of(&visit)?;
    found(scim, &visit, &asked).await
}

/// `POST /Groups/.search`
pub(super) async fn search(scim: &Scim, visit: Visit) -> Answer {
    let asked = Asked::read(&visit.object()?)?;
    found(scim, &visit, &asked).await
}

async fn found(scim: &Scim, visit: &Visit, asked: &Asked) -> Answer {
    visit.caller.require(PERMISSION)?;
    let mut tables = scim.current(visit.tenant()).await?;
    let resources = candidates(scim, &mut tables, visit.tenant(), asked.filter.as_ref()).await?;
    let mut answer = asked.answer_of_all(resources);
    show_members(scim, visit, &mut tables, asked, &mut answer).await?;
    Ok(Reply::ok(answer))
}

/// The groups that may pass a filter, each with as much as the filter can ask about.
pub(super) async fn candidates(
    scim: &Scim,
    tables: &mut Transaction,
    tenant: TenantId,
    filter: Option<&Filter>,
) -> Result<Vec<Value>, ScimError> {
    // A tenant has hundreds of groups, not hundreds of thousands.
    let all = GroupFilter::default();
    let mut rows = groups::list(tables, tenant, &all, ByName, None, LOOKED_THROUGH + 1).await.map_err(unreadable)?;
    if rows.len() as i64 > LOOKED_THROUGH {
        let equal_to = |name| filter.and_then(|filter| filter.equal_to(name, "")).map(str::to_owned);
        let (external_id, alike) = (equal_to("externalId"), equal_to("displayName"));
        if external_id.is_some() || alike.is_some() {
            let fewer = GroupFilter { external_id, alike, ..all };
            rows = groups::list(tables, tenant, &fewer, ByName, None, LOOKED_THROUGH + 1).await.map_err(unreadable)?;
        }
    }
    if rows.len() as i64 > LOOKED_THROUGH {
        let detail =
            format!("the tenant has more than {LOOKED_THROUGH} groups: filter by displayName eq or externalId eq");
        return Err(ScimError::too_many(detail));
    }
    // Members cost much: they are read for what is shown. Of a filter that is about one of them, that one's groups are looked up.
    let member = filter.and_then(|filter| filter.equal_to("members", "value"));
    let theirs = match member {
        Some(id) => Some(groups_of(tables, tenant, id).await?),
        None => None,
    };
    let mut resources = Vec::with_capacity(rows.len());
    for row in rows.iter().filter(|row| theirs.as_ref().is_none_or(|theirs| theirs.contains(&row.group_id))) {
        let names = (&*row.name, row.external_id.as_deref());
        let mut resource = bare(scim, row.group_id, names, row.version.cast_unsigned());
        resource["meta"]["created"] = time(row.created_at).into();
        resource["meta"]["lastModified"] = time(row.changed_at).into();
        if let Some(member) = member {
            // As much as the filter asks about.
            resource["members"] = json!([{ "value": member }]);
        }
        resources.push(resource);
    }
    Ok(resources)
}

/// Gives the groups of an answer their members, as far as they are wanted and there is room.
pub(super) async fn show_members(
    scim: &Scim,
    visit: &Visit,
    tables: &mut Transaction,
    asked: &Asked,
    answer: &mut Value,
) -> Result<(), ScimError> {
    let mut room = if asked.shown.has("members") { MOST_MEMBERS } else { 0 };
    for one in answer["Resources"].as_array_mut().into_iter().flatten() {
        if one["schemas"][0] != SCHEMA {
            continue;
        }
        let (Some(id), Some(resource)) = (one["id"].as_str().and_then(|id| id.parse().ok()), one.as_object_mut())
        else {
            continue;
        };
        remove_attribute(resource, "members");
        // From the first one on that does not fit they are left out, so that no page reads much more than it shows.
        let found = if room > 0 { rows_within(tables, visit.tenant(), id, room).await? } else { None };
        room = found.as_ref().map_or(0, |found| room - found.len() as i64);
        if let Some(found) = found {
            resource.insert("members".to_owned(), members(scim, &visit.caller, found));
        }
        *one = asked.shown.of_resource(one.take());
    }
    Ok(())
}

/// `GET /Groups/{id}`
pub(super) async fn read(scim: &Scim, visit: Visit) -> Answer {
    visit.caller.require(PERMISSION)?;
    let id = visit.resource(WHAT)?;
    shown_as_it_is(scim, &visit, id, StatusCode::OK).await
}

/// `POST /Groups`
pub(super) async fn create(scim: &Scim, visit: Visit) -> Answer {
    let (name, mut change) = Change::whole(&visit.object()?)?;
    let external_id = std::mem::take(&mut change.external_id).value();
    let members = change.moves(&BTreeSet::new())?.join;
    let provision = ProvisionGroup { name, external_id, members, catalogue: scim.catalogue.clone() };
    let id = scim.runtime.executor.execute(&visit.request()?, &provision).await?.answer;
    shown_as_it_is(scim, &visit, id.uuid(), StatusCode::CREATED).await
}

/// `PUT /Groups/{id}`
pub(super) async fn replace(scim: &Scim, visit: Visit) -> Answer {
    let id = visit.resource(WHAT)?;
    let (_, change) = Change::whole(&visit.object()?)?;
    revise(scim, &visit, id, change).await
}

/// `PATCH /Groups/{id}`
pub(super) async fn patch(scim: &Scim, visit: Visit) -> Answer {
    let id = visit.resource(WHAT)?;
    let change = Change::patched(&visit.object()?)?;
    revise(scim, &visit, id, change).await
}

/// Makes a group what a request asks for, if it is of the version that `If-Match` names: whatever is changed of it, also its members only,
/// and also when nothing comes of it.
async fn revise(scim: &Scim, visit: &Visit, id: Uuid, mut change: Change) -> Answer {
    visit.caller.require(WRITE)?;
    let request = visit.request()?;
    let (_, version) = load(scim, visit, id).await?;
    if let Some(wanted) = &request.if_match
        && !wanted.contains(version)
    {
        return Err(ScimError::version_differs(wanted, version));
    }
    let mut before = BTreeSet::new();
    if change.replaces_members() {
        let mut tables = scim.current(visit.tenant()).await?;
        let rows = rows(&mut tables, visit.tenant(), id).await?;
        before = rows.into_iter().map(|(user, _)| UserId::new(user)).collect();
    }
    let (name, external_id) = (change.name.take(), std::mem::take(&mut change.external_id));
    let Moves { join, leave } = change.moves(&before)?;
    let catalogue = scim.catalogue.clone();
    let revise = ReviseGroup { group: GroupId::new(id), name, external_id, join, leave, catalogue };
    scim.runtime.executor.execute(&request, &revise).await?;
    shown_as_it_is(scim, visit, id, StatusCode::OK).await
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

async fn load(scim: &Scim, visit: &Visit, id: Uuid) -> Result<(Arc<Group>, u64), ScimError> {
    let found = scim.runtime.executor.load::<Group>(&visit.caller, &id.to_string()).await?;
    found.filter(|(group, _)| !group.dissolved).ok_or_else(|| ScimError::not_found(WHAT, visit.name()))
}

/// Who is in a group, by name.
async fn rows(tables: &mut Transaction, tenant: TenantId, group: Uuid) -> Result<Vec<(Uuid, String)>, ScimError> {
    rows_within(tables, tenant, group, MOST_MEMBERS).await?.ok_or_else(|| {
        let detail =
            format!("the group has more than {MOST_MEMBERS} members: request it with excludedAttributes=members");
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

/// A group without its members: what we call it, and what the provider does.
fn bare(scim: &Scim, id: Uuid, (name, external_id): (&str, Option<&str>), version: u64) -> Value {
    let mut resource = json!({
        "schemas": [SCHEMA],
        "id": id,
        "displayName": name,
        "meta": {
            "resourceType": "Group",
            "location": format!("{}/Groups/{id}", scim.base),
            "version": format!("W/\"{version}\""),
        },
    });
    if let Some(external_id) = external_id {
        resource["externalId"] = external_id.into();
    }
    resource
}

async fn shown_as_it_is(scim: &Scim, visit: &Visit, id: Uuid, status: StatusCode) -> Answer {
    let shown = Shown::of(visit);
    let (group, version) = load(scim, visit, id).await?;
    let mut resource = bare(scim, id, (&*group.name, group.external_id.as_deref()), version);
    let mut tables = scim.current(visit.tenant()).await?;
    if let Some(row) = groups::find(&mut tables, visit.tenant(), &[id]).await.map_err(unreadable)?.pop() {
        resource["meta"]["created"] = time(row.created_at).into();
        resource["meta"]["lastModified"] = time(row.changed_at).into();
    }
    if shown.has("members") {
        resource["members"] = members(scim, &visit.caller, rows(&mut tables, visit.tenant(), id).await?);
    }
    Ok(Reply::resource(status, resource, version, &shown))
}
