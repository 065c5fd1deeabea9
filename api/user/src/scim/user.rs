//! The endpoints of the SCIM resource `User`.
//!
//! `userName` is what a user signs in with: either their e-mail address, or a user name, and then the address is in `emails`. Roles
//! can't be granted over SCIM: users have those of their groups, and those that are granted to them over the REST API.

use kernel::{TenantId, UserId, Versions};
use poem::http::StatusCode;
use projector::Transaction;
use serde_json::{Map, Value};
use user_aggregates::User;
use user_commands::{ProvisionUser, RemoveUser, ReplaceUser};
use user_projections::people::{self, PersonFilter};
use uuid::Uuid;

use super::error::ScimError;
use super::filter::Filter;
use super::json::{self, get, set, string, text};
use super::list::{AttributeSelection, ListQuery, MAX_SCANNED};
use super::request::ScimRequest;
use super::user_resource::{current_resource, parse_user, resources};
use super::{Answer, Reply, Scim, patch};

pub(super) const SCHEMA: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
pub(super) const PERMISSION: &str = "user:user:read";
const WHAT: &str = "user";

/// How often a change is tried again after somebody else changed the user at the same time.
const RETRIES: u32 = 5;

/// Attributes that can't be written.
const READ_ONLY: [&str; 4] = ["id", "meta", "groups", "roles"];

/// `GET /Users` and `POST /Users/.search`
pub(super) async fn list(scim: &Scim, incoming: ScimRequest) -> Answer {
    let query = ListQuery::of(&incoming)?;
    incoming.caller.require(PERMISSION)?;
    let tenant = incoming.tenant();
    let mut tables = scim.current(tenant).await?;
    let Some(filter) = &query.filter else {
        let (total, page) = page(scim, &mut tables, tenant, &query).await?;
        return Ok(Reply::ok(query.answer(total, page)));
    };
    Ok(Reply::ok(query.answer_filtered(candidates(scim, &mut tables, tenant, filter).await?)))
}

/// The users of a page, without a filter, and the total number of users.
pub(super) async fn page(
    scim: &Scim,
    tables: &mut Transaction,
    tenant: TenantId,
    query: &ListQuery,
) -> Result<(i64, Vec<Value>), ScimError> {
    let total = people::count_present(tables, tenant).await.map_err(ScimError::unreadable)?;
    let page =
        people::page_present(tables, tenant, query.start - 1, query.count).await.map_err(ScimError::unreadable)?;
    Ok((total, resources(scim, tables, tenant, page).await?))
}

/// The users who can pass a filter. They are found by an index if the filter requires one value of an indexed attribute; otherwise all
/// users of the tenant are returned.
///
/// # Errors
/// `tooMany` if those are more than [`MAX_SCANNED`].
pub(super) async fn candidates(
    scim: &Scim,
    tables: &mut Transaction,
    tenant: TenantId,
    filter: &Filter,
) -> Result<Vec<Value>, ScimError> {
    let rows = if let Some(id) = filter.equal_to("id", "") {
        let id: Vec<Uuid> = kernel::read_uuid(id).into_iter().collect();
        people::find(tables, tenant, &id).await.map_err(ScimError::unreadable)?
    } else if let Some(login) = filter.equal_to("userName", "") {
        people::by_login(tables, tenant, login).await.map_err(ScimError::unreadable)?.into_iter().collect()
    } else if let Some(email) = filter.equal_to("emails", "value") {
        let email = PersonFilter { email: Some(email.to_owned()), ..PersonFilter::default() };
        people::first(tables, tenant, &email, MAX_SCANNED).await.map_err(ScimError::unreadable)?
    } else if let Some(external) = filter.equal_to("externalId", "") {
        people::by_external_id(tables, tenant, external, MAX_SCANNED).await.map_err(ScimError::unreadable)?
    } else {
        let rows = people::page_present(tables, tenant, 0, MAX_SCANNED + 1).await.map_err(ScimError::unreadable)?;
        if rows.len() as i64 > MAX_SCANNED {
            let detail = format!(
                "the tenant has more than {MAX_SCANNED} users, so a filter must compare userName, emails, externalId or id by eq; further conditions can be added with and"
            );
            return Err(ScimError::too_many(detail));
        }
        rows
    };
    let rows = rows.into_iter().filter(|row| row.status.0.is_present()).collect();
    resources(scim, tables, tenant, rows).await
}

/// `GET /Users/{id}`
pub(super) async fn read(scim: &Scim, incoming: ScimRequest) -> Answer {
    incoming.caller.require(PERMISSION)?;
    let id = incoming.resource_id(WHAT)?;
    let (user, version) = load(scim, &incoming, id).await?;
    // The names of groups change, and groups end, without a new version of their members.
    let shows_groups = !user.groups.is_empty() && AttributeSelection::of(&incoming).has("groups");
    if !shows_groups && incoming.knows(version) {
        return Ok(Reply::unchanged(version));
    }
    reply(scim, &incoming, StatusCode::OK, id, &user, version).await
}

/// `POST /Users`
pub(super) async fn create(scim: &Scim, incoming: ScimRequest) -> Answer {
    let user = parse_user(&incoming.object(SCHEMA)?, None)?;
    let provision = ProvisionUser { user, catalogue: scim.catalogue.clone() };
    let done = scim.runtime.executor.execute(&incoming.request()?, &provision).await?;
    let id = done.answer.uuid();
    let (user, version) = load(scim, &incoming, id).await?;
    reply(scim, &incoming, StatusCode::CREATED, id, &user, version).await
}

/// `PUT /Users/{id}`
pub(super) async fn replace(scim: &Scim, incoming: ScimRequest) -> Answer {
    let (id, body) = (incoming.resource_id(WHAT)?, incoming.object(SCHEMA)?);
    change(scim, &incoming, id, |_, _| Ok(body.clone())).await
}

/// `PATCH /Users/{id}`
pub(super) async fn patch(scim: &Scim, incoming: ScimRequest) -> Answer {
    let (id, operations) = (incoming.resource_id(WHAT)?, patch::operations(&incoming.object(patch::SCHEMA)?)?);
    change(scim, &incoming, id, |user, mut resource| {
        let before = resource.clone();
        for operation in operations.clone() {
            patch::apply(&mut resource, operation, &READ_ONLY)?;
        }
        sync_duplicates(&before, &mut resource);
        if !user.name_told {
            keep_name_untold(&before, &mut resource);
        }
        Ok(resource)
    })
    .await
}

/// Updates values that SCIM has in two attributes, if a PATCH changes only one of them: `displayName` follows `name.formatted` if they
/// were equal, and the address in `emails` follows a `userName` that is an e-mail address.
fn sync_duplicates(before: &Map<String, Value>, resource: &mut Map<String, Value>) {
    let same = |resource: &Map<String, Value>, name: &str| get(before, name) == get(resource, name);
    let was_shown = formatted(before).is_some() && formatted(before) == text(before, "displayName");
    if let Some(name) = formatted(resource).filter(|_| was_shown && same(resource, "displayName")) {
        set(resource, "displayName", name.into());
    }
    if !same(resource, "userName")
        && same(resource, "emails")
        && let Some(address) = text(resource, "userName").filter(|name| name.contains('@'))
    {
        // Only the address changes; its label is kept.
        let mut emails = get(resource, "emails").cloned().unwrap_or_default();
        for email in emails.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
            set(email, "value", address.as_str().into());
        }
        set(resource, "emails", emails);
    }
}

/// Removes a `name.formatted` that no provider has set and that is only shown, unless a PATCH has changed it, so that it is not stored.
fn keep_name_untold(before: &Map<String, Value>, resource: &mut Map<String, Value>) {
    let Some(shown) = formatted(resource).filter(|name| formatted(before).as_ref() == Some(name)) else { return };
    if matches!(string(resource, "displayName"), Ok(None)) {
        set(resource, "displayName", shown.into());
    }
    if let Some(mut name) = get(resource, "name").and_then(Value::as_object).cloned() {
        json::remove(&mut name, "formatted");
        set(resource, "name", Value::Object(name));
    }
}

/// The value of `name.formatted`.
fn formatted(resource: &Map<String, Value>) -> Option<String> {
    text(get(resource, "name")?.as_object()?, "formatted")
}

/// `DELETE /Users/{id}`
pub(super) async fn remove(scim: &Scim, incoming: ScimRequest) -> Answer {
    let id = incoming.resource_id(WHAT)?;
    incoming.caller.require("user:user:write")?;
    load(scim, &incoming, id).await?;
    let remove = RemoveUser { user: UserId::new(id), catalogue: scim.catalogue.clone() };
    scim.runtime.executor.execute(&incoming.request()?, &remove).await?;
    Ok(Reply::nothing())
}

/// Changes a user to what `to` returns for their current state. The command is carried out only if the user still has the version that was
/// read; otherwise it is tried again with their new state, because a provider that names no version is not to be refused for one (RFC 7644
/// section 3.14).
async fn change(
    scim: &Scim,
    incoming: &ScimRequest,
    id: Uuid,
    to: impl Fn(&User, Map<String, Value>) -> Result<Map<String, Value>, ScimError>,
) -> Answer {
    incoming.caller.require("user:user:write")?;
    // The answer shows the whole user.
    incoming.caller.require(PERMISSION)?;
    let mut request = incoming.request()?;
    let wanted = request.if_match.take();
    let mut retries = RETRIES;
    loop {
        let (before, version) = load(scim, incoming, id).await?;
        let Value::Object(resource) = current_resource(scim, incoming, id, &before, version).await? else {
            return Err(ScimError::syntax("the body is not a JSON object"));
        };
        let user = parse_user(&to(&before, resource)?, Some(&before))?;
        if let Some(wanted) = &wanted
            && !wanted.contains(version)
        {
            return Err(ScimError::version_differs(wanted, version));
        }
        request.if_match = Some(Versions::from(version));
        let replace = ReplaceUser { id: UserId::new(id), user, catalogue: scim.catalogue.clone() };
        match scim.runtime.executor.execute(&request, &replace).await {
            Ok(_) => break,
            Err(refusal) if refusal.code() == "version_differs" && retries > 0 => retries -= 1,
            Err(refusal) => return Err(refusal.into()),
        }
    }
    let (after, version) = load(scim, incoming, id).await?;
    reply(scim, incoming, StatusCode::OK, id, &after, version).await
}

/// Answers with the selected attributes of a user.
async fn reply(scim: &Scim, incoming: &ScimRequest, status: StatusCode, id: Uuid, user: &User, version: u64) -> Answer {
    let resource = current_resource(scim, incoming, id, user, version).await?;
    Ok(Reply::resource(status, resource, version, &AttributeSelection::of(incoming)))
}

/// Loads a user of the tenant. A removed user is refused as not found, like one that never existed.
async fn load(scim: &Scim, incoming: &ScimRequest, id: Uuid) -> Result<(std::sync::Arc<User>, u64), ScimError> {
    let found = scim.runtime.executor.load::<User>(&incoming.caller, &id.to_string()).await?;
    found.filter(|(user, _)| user.status.is_present()).ok_or_else(|| ScimError::not_found(WHAT, incoming.name()))
}
