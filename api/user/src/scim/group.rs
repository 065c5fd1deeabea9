//! The SCIM resource `Group` and its endpoints. The roles that a group grants are managed in Inopsio, not by the provider.

use std::collections::BTreeSet;
use std::sync::Arc;

use kernel::{Caller, TenantId, UserId};
use poem::http::StatusCode;
use projector::Transaction;
use serde_json::{Value, json};
use user_aggregates::{Group, GroupId};
use user_commands::{DissolveGroup, ProvisionGroup, ReviseGroup};
use user_projections::groups::{self, ByName, GroupFilter, GroupRow};
use user_projections::people::{self, PersonFilter};
use uuid::Uuid;

use super::error::ScimError;
use super::filter::Filter;
use super::group_change::{Change, MAX_MEMBERS, MemberChanges};
use super::json::{remove as remove_attribute, time};
use super::list::{AttributeSelection, ListQuery, MAX_SCANNED};
use super::request::ScimRequest;
use super::{Answer, Reply, Scim, patch, tag};

pub(super) const SCHEMA: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
pub(super) const PERMISSION: &str = "user:group:read";
const WRITE: &str = "user:group:write";
const WHAT: &str = "group";

/// `GET /Groups` and `POST /Groups/.search`
pub(super) async fn list(scim: &Scim, incoming: ScimRequest) -> Answer {
    let query = ListQuery::of(&incoming)?;
    incoming.caller.require(PERMISSION)?;
    let tenant = incoming.tenant();
    let mut tables = scim.current(tenant).await?;
    let mut answer = if let Some(filter) = &query.filter {
        query.answer_filtered(candidates(scim, &mut tables, tenant, filter).await?)
    } else {
        let (total, page) = page(scim, &mut tables, tenant, query.start - 1, query.count).await?;
        query.answer(total, page)
    };
    show_members(scim, &incoming, &mut tables, &query, &mut answer).await?;
    Ok(Reply::ok(answer))
}

/// At most `count` groups after the first `skipped`, by name, without their members; and the total number of groups.
pub(super) async fn page(
    scim: &Scim,
    tables: &mut Transaction,
    tenant: TenantId,
    skipped: i64,
    count: i64,
) -> Result<(i64, Vec<Value>), ScimError> {
    let total = groups::count(tables, tenant, &GroupFilter::default()).await.map_err(ScimError::unreadable)?;
    let rows = groups::page(tables, tenant, skipped, count).await.map_err(ScimError::unreadable)?;
    Ok((total, rows.iter().map(|row| listed(scim, row)).collect()))
}

/// The groups that can pass a filter, by name, each with the attributes on which the filter can depend.
pub(super) async fn candidates(
    scim: &Scim,
    tables: &mut Transaction,
    tenant: TenantId,
    filter: &Filter,
) -> Result<Vec<Value>, ScimError> {
    // Members are expensive to read, so they are read only for groups in the response. If the filter is about one member, the groups
    // of that member are looked up instead.
    let member = filter.equal_to("members", "value");
    let theirs = match member {
        Some(id) => Some(groups_of(tables, tenant, id).await?),
        None => None,
    };
    let ids: Option<Vec<Uuid>> = match (filter.equal_to("id", ""), &theirs) {
        (Some(id), _) => Some(kernel::read_uuid(id).into_iter().collect()),
        (None, Some(theirs)) => Some(theirs.iter().copied().collect()),
        (None, None) => None,
    };
    let rows = match ids {
        Some(ids) => {
            let mut rows = groups::find(tables, tenant, &ids).await.map_err(ScimError::unreadable)?;
            rows.retain(|row| !row.dissolved);
            rows.sort_by(|one, other| (&one.name, one.group_id).cmp(&(&other.name, other.group_id)));
            rows
        }
        None => scanned(tables, tenant, filter).await?,
    };
    let mut resources = Vec::with_capacity(rows.len());
    for row in rows.iter().filter(|row| theirs.as_ref().is_none_or(|theirs| theirs.contains(&row.group_id))) {
        let mut resource = listed(scim, row);
        if let Some(member) = member {
            // The only member on which the filter depends.
            resource["members"] = json!([{ "value": member }]);
        }
        resources.push(resource);
    }
    Ok(resources)
}

/// All groups of the tenant; if they are many, those with the name or external id that a filter requires.
///
/// # Errors
/// `tooMany` if they are more than [`MAX_SCANNED`].
async fn scanned(tables: &mut Transaction, tenant: TenantId, filter: &Filter) -> Result<Vec<GroupRow>, ScimError> {
    // A tenant has hundreds of groups, rarely thousands.
    let all = GroupFilter::default();
    let mut rows =
        groups::list(tables, tenant, &all, ByName, None, MAX_SCANNED + 1).await.map_err(ScimError::unreadable)?;
    if rows.len() as i64 > MAX_SCANNED {
        let equal_to = |name| filter.equal_to(name, "").map(str::to_owned);
        let (external_id, alike) = (equal_to("externalId"), equal_to("displayName"));
        if external_id.is_some() || alike.is_some() {
            let fewer = GroupFilter { external_id, alike, ..all };
            rows = groups::list(tables, tenant, &fewer, ByName, None, MAX_SCANNED + 1)
                .await
                .map_err(ScimError::unreadable)?;
        }
    }
    if rows.len() as i64 > MAX_SCANNED {
        let detail = format!(
            "the tenant has more than {MAX_SCANNED} groups, so a filter must compare displayName, externalId, id or members.value by eq; further conditions can be added with and"
        );
        return Err(ScimError::too_many(detail));
    }
    Ok(rows)
}

/// Adds members to the groups of a response, if they were requested, up to [`MAX_MEMBERS`] for all groups together.
pub(super) async fn show_members(
    scim: &Scim,
    incoming: &ScimRequest,
    tables: &mut Transaction,
    query: &ListQuery,
    answer: &mut Value,
) -> Result<(), ScimError> {
    let mut room = if query.attributes.has("members") { MAX_MEMBERS } else { 0 };
    for one in answer["Resources"].as_array_mut().into_iter().flatten() {
        if one["schemas"][0] != SCHEMA {
            continue;
        }
        let (Some(id), Some(resource)) = (one["id"].as_str().and_then(|id| id.parse().ok()), one.as_object_mut())
        else {
            continue;
        };
        remove_attribute(resource, "members");
        // From the first group on whose members don't fit, all members are left out, so that a page reads few members in vain.
        let found = if room > 0 { rows_within(tables, incoming.tenant(), id, room).await? } else { None };
        room = found.as_ref().map_or(0, |found| room - found.len() as i64);
        if let Some(found) = found {
            resource.insert("members".to_owned(), members(scim, &incoming.caller, found));
        }
        *one = query.attributes.of_resource(one.take());
    }
    Ok(())
}

/// `GET /Groups/{id}`
pub(super) async fn read(scim: &Scim, incoming: ScimRequest) -> Answer {
    incoming.caller.require(PERMISSION)?;
    let id = incoming.resource_id(WHAT)?;
    // Members come and go without a new version of the group.
    if !AttributeSelection::of(&incoming).has("members") {
        let (_, version) = load(scim, &incoming, id).await?;
        if incoming.knows(version) {
            return Ok(Reply::unchanged(version));
        }
    }
    reply(scim, &incoming, id, StatusCode::OK).await
}

/// `POST /Groups`
pub(super) async fn create(scim: &Scim, incoming: ScimRequest) -> Answer {
    let (name, mut change) = Change::whole(&incoming.object(SCHEMA)?)?;
    let external_id = std::mem::take(&mut change.external_id).value();
    let members = change.member_changes(&BTreeSet::new())?.join;
    let provision = ProvisionGroup { name, external_id, members, catalogue: scim.catalogue.clone() };
    let id = scim.runtime.executor.execute(&incoming.request()?, &provision).await?.answer;
    reply(scim, &incoming, id.uuid(), StatusCode::CREATED).await
}

/// `PUT /Groups/{id}`
pub(super) async fn replace(scim: &Scim, incoming: ScimRequest) -> Answer {
    let id = incoming.resource_id(WHAT)?;
    let (_, change) = Change::whole(&incoming.object(SCHEMA)?)?;
    revise(scim, &incoming, id, change).await
}

/// `PATCH /Groups/{id}`
pub(super) async fn patch(scim: &Scim, incoming: ScimRequest) -> Answer {
    let id = incoming.resource_id(WHAT)?;
    let change = Change::patched(&incoming.object(patch::SCHEMA)?)?;
    revise(scim, &incoming, id, change).await
}

/// Applies a change to a group. `If-Match` is always checked against the group's version, even if only members change or nothing does.
async fn revise(scim: &Scim, incoming: &ScimRequest, id: Uuid, mut change: Change) -> Answer {
    incoming.caller.require(WRITE)?;
    // The answer shows the group with its members.
    incoming.caller.require(PERMISSION)?;
    let request = incoming.request()?;
    let (_, version) = load(scim, incoming, id).await?;
    if let Some(wanted) = &request.if_match
        && !wanted.contains(version)
    {
        return Err(ScimError::version_differs(wanted, version));
    }
    let mut before = BTreeSet::new();
    if change.replaces_members() {
        let mut tables = scim.current(incoming.tenant()).await?;
        let rows = rows(&mut tables, incoming.tenant(), id).await?;
        before = rows.into_iter().map(|(user, _)| UserId::new(user)).collect();
    }
    let (name, external_id) = (change.name.take(), std::mem::take(&mut change.external_id));
    let MemberChanges { join, leave } = change.member_changes(&before)?;
    let catalogue = scim.catalogue.clone();
    let revise = ReviseGroup { group: GroupId::new(id), name, external_id, join, leave, catalogue };
    scim.runtime.executor.execute(&request, &revise).await?;
    reply(scim, incoming, id, StatusCode::OK).await
}

/// `DELETE /Groups/{id}`
pub(super) async fn remove(scim: &Scim, incoming: ScimRequest) -> Answer {
    let id = incoming.resource_id(WHAT)?;
    incoming.caller.require(WRITE)?;
    load(scim, &incoming, id).await?;
    let dissolve = DissolveGroup { group: GroupId::new(id), catalogue: scim.catalogue.clone() };
    scim.runtime.executor.execute(&incoming.request()?, &dissolve).await?;
    Ok(Reply::nothing())
}

async fn load(scim: &Scim, incoming: &ScimRequest, id: Uuid) -> Result<(Arc<Group>, u64), ScimError> {
    let found = scim.runtime.executor.load::<Group>(&incoming.caller, &id.to_string()).await?;
    found.filter(|(group, _)| !group.dissolved).ok_or_else(|| ScimError::not_found(WHAT, incoming.name()))
}

/// The ids and names of a group's members, ordered by name.
///
/// # Errors
/// `tooMany` if there are more than [`MAX_MEMBERS`].
async fn rows(tables: &mut Transaction, tenant: TenantId, group: Uuid) -> Result<Vec<(Uuid, String)>, ScimError> {
    rows_within(tables, tenant, group, MAX_MEMBERS).await?.ok_or_else(|| {
        let detail =
            format!("the group has more than {MAX_MEMBERS} members: request it with excludedAttributes=members");
        ScimError::too_many(detail)
    })
}

/// The ids and names of a group's members, ordered by name; none if there are more than `most`.
async fn rows_within(
    tables: &mut Transaction,
    tenant: TenantId,
    group: Uuid,
    most: i64,
) -> Result<Option<Vec<(Uuid, String)>>, ScimError> {
    let filter = PersonFilter { group: Some(GroupId::new(group)), ..PersonFilter::default() };
    let rows = people::first(tables, tenant, &filter, most + 1).await.map_err(ScimError::unreadable)?;
    Ok((rows.len() as i64 <= most).then(|| rows.into_iter().map(|row| (row.user_id, row.name)).collect()))
}

/// The groups of the user with this id; empty if there is no such user.
async fn groups_of(tables: &mut Transaction, tenant: TenantId, user: &str) -> Result<BTreeSet<Uuid>, ScimError> {
    let Ok(user) = user.parse::<Uuid>() else { return Ok(BTreeSet::new()) };
    let found = people::find(tables, tenant, &[user]).await.map_err(ScimError::unreadable)?.pop();
    Ok(found.filter(|row| row.status.0.is_present()).map(|row| row.groups.0).unwrap_or_default())
}

/// Members in SCIM. Their names are shown only to callers who may see users.
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

/// The resource of a group in a list, without its members.
fn listed(scim: &Scim, row: &GroupRow) -> Value {
    let names = (&*row.name, row.external_id.as_deref());
    let mut resource = without_members(scim, row.group_id, names, row.version.cast_unsigned());
    resource["meta"]["created"] = time(row.created_at).into();
    resource["meta"]["lastModified"] = time(row.changed_at).into();
    resource
}

/// The resource of a group, without its members.
fn without_members(scim: &Scim, id: Uuid, (name, external_id): (&str, Option<&str>), version: u64) -> Value {
    let mut resource = json!({
        "schemas": [SCHEMA],
        "id": id,
        "displayName": name,
        "meta": {
            "resourceType": "Group",
            "location": format!("{}/Groups/{id}", scim.base),
            "version": tag(version),
        },
    });
    if let Some(external_id) = external_id {
        resource["externalId"] = external_id.into();
    }
    resource
}

/// Answers with the current state of a group.
async fn reply(scim: &Scim, incoming: &ScimRequest, id: Uuid, status: StatusCode) -> Answer {
    let attributes = AttributeSelection::of(incoming);
    let (group, version) = load(scim, incoming, id).await?;
    let mut resource = without_members(scim, id, (&*group.name, group.external_id.as_deref()), version);
    let mut tables = scim.current(incoming.tenant()).await?;
    if let Some(row) = groups::find(&mut tables, incoming.tenant(), &[id]).await.map_err(ScimError::unreadable)?.pop() {
        resource["meta"]["created"] = time(row.created_at).into();
        resource["meta"]["lastModified"] = time(row.changed_at).into();
    }
    if attributes.has("members") {
        resource["members"] = members(scim, &incoming.caller, rows(&mut tables, incoming.tenant(), id).await?);
    }
    Ok(Reply::resource(status, resource, version, &attributes))
}
