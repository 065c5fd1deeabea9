//! The SCIM resource `User` and its endpoints.
//!
//! `userName` is what a user signs in with: either their e-mail address, or a user name, and then the address is in `emails`. Roles
//! can't be granted over SCIM: users have those of their groups, and those that are granted to them over the REST API.

use kernel::{Personal, PostalAddress, TenantId, UserId, Versions};
use poem::http::StatusCode;
use projector::Transaction;
use serde_json::{Map, Value, json};
use user_aggregates::User;
use user_commands::{LabelFields, LoginFields, ProfileFields, ProvisionUser, Provisioned, RemoveUser, ReplaceUser};
use user_projections::groups;
use user_projections::people::{self, PersonFilter, PersonRow};
use uuid::Uuid;

use super::contact::{LabelParts, address_list, contact, label, label_parts, part, postal_address, value_list};
use super::error::ScimError;
use super::filter::Filter;
use super::json::{self, flag, get, set, string, text, time};
use super::list::{AttributeSelection, ListQuery, MAX_SCANNED};
use super::request::ScimRequest;
use super::{Answer, Reply, Scim, patch, tag};

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
    let total = people::count_present(tables, tenant).await.map_err(unreadable)?;
    let page = people::page_present(tables, tenant, query.start - 1, query.count).await.map_err(unreadable)?;
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
        people::find(tables, tenant, &id).await.map_err(unreadable)?
    } else if let Some(login) = filter.equal_to("userName", "") {
        people::by_login(tables, tenant, login).await.map_err(unreadable)?.into_iter().collect()
    } else if let Some(email) = filter.equal_to("emails", "value") {
        let email = PersonFilter { email: Some(email.to_owned()), ..PersonFilter::default() };
        people::first(tables, tenant, &email, MAX_SCANNED).await.map_err(unreadable)?
    } else if let Some(external) = filter.equal_to("externalId", "") {
        people::by_external_id(tables, tenant, external, MAX_SCANNED).await.map_err(unreadable)?
    } else {
        let rows = people::page_present(tables, tenant, 0, MAX_SCANNED + 1).await.map_err(unreadable)?;
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

/// The fields of a user from a SCIM resource. Fields that SCIM does not have are taken from `before`.
fn parse_user(resource: &Map<String, Value>, before: Option<&User>) -> Result<Provisioned, ScimError> {
    let user_name = string(resource, "userName")?.ok_or_else(|| ScimError::value("userName is missing"))?;
    let (email_contact, phone_contact) = (contact(resource, "emails")?, contact(resource, "phoneNumbers")?);
    let (email, phone) = (part(email_contact, "value")?, part(phone_contact, "value")?);
    let address = contact(resource, "addresses")?;
    let active = match get(resource, "active") {
        None | Some(Value::Null) => true,
        Some(active) => flag(active).ok_or_else(|| ScimError::value("active must be true or false"))?,
    };
    let login = if user_name.contains('@') {
        // A deactivation is never refused because of contradictory addresses.
        if active && email.is_some_and(|email| kernel::folded(&email) != kernel::folded(&user_name)) {
            return Err(ScimError::value(
                "userName is an e-mail address and emails has another one: use the same address in both, or a userName that is not an e-mail address",
            ));
        }
        LoginFields { email: user_name.clone(), user_name: None }
    } else {
        let email = email.ok_or_else(|| {
            ScimError::value("emails is missing, and userName is not an e-mail address: a user must have one")
        })?;
        LoginFields { email, user_name: Some(user_name.clone()) }
    };
    let name = match get(resource, "name") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(name)) => name.clone(),
        Some(_) => return Err(ScimError::value("name must be an object with givenName, familyName and formatted")),
    };
    let (given_name, family_name) = (string(&name, "givenName")?, string(&name, "familyName")?);
    let formatted_name = string(&name, "formatted")?;
    let whole = [given_name.as_deref(), family_name.as_deref()].into_iter().flatten().collect::<Vec<_>>().join(" ");
    let shown = string(resource, "displayName")?.or_else(|| formatted_name.clone());
    let languages = string(resource, "preferredLanguage")?;
    Ok(Provisioned {
        login,
        profile: ProfileFields {
            name: shown.or(Some(whole).filter(|name| !name.is_empty())).unwrap_or(user_name),
            given_name,
            family_name,
            title: string(resource, "title")?,
            // RFC 7643 section 4.1.2 also has numbers as URIs, such as `tel:+1-201-555-0123`.
            phone: phone.map(|phone| phone.strip_prefix("tel:").unwrap_or(&phone).to_owned()),
            address: postal_address(address)?,
            // Providers don't manage the picture, so it stays.
            picture: before.and_then(|user| user.profile.picture.as_ref()).map(|picture| picture.reveal().clone()),
            locale: string(resource, "locale")?.or_else(|| first_language(&languages?)),
            time_zone: string(resource, "timezone")?,
        },
        external_id: string(resource, "externalId")?,
        labels: LabelFields {
            formatted_name,
            formatted_address: part(address, "formatted")?,
            email: label(email_contact)?,
            phone: label(phone_contact)?,
            address: label(address)?,
        },
        active,
    })
}

/// The first language of a list such as `da, en-gb;q=0.8`, which is the preferred one (RFC 9110 section 12.5.4).
fn first_language(languages: &str) -> Option<String> {
    let first = languages.split([',', ';']).next().map(str::trim);
    first.filter(|language| !language.is_empty() && *language != "*").map(str::to_owned)
}

/// The data of a user in SCIM, either from the log or from the read model.
struct UserView<'a> {
    id: Uuid,
    version: u64,
    user_name: Option<&'a str>,
    email: &'a str,
    external_id: Option<&'a str>,
    active: bool,
    name: &'a str,
    formatted_name: Option<&'a str>,
    /// Whether a provider ever set `name.formatted`. If not, `name` is shown there.
    name_told: bool,
    given_name: Option<&'a str>,
    family_name: Option<&'a str>,
    title: Option<&'a str>,
    phone: Option<&'a str>,
    address: Option<&'a PostalAddress>,
    formatted_address: Option<&'a str>,
    /// The labels of the e-mail address, the telephone number and the postal address.
    labels: [LabelParts<'a>; 3],
    locale: Option<&'a str>,
    time_zone: Option<&'a str>,
    roles: Vec<&'a str>,
    groups: Vec<(Uuid, &'a str)>,
    times: Option<(String, String)>,
}

impl UserView<'_> {
    fn resource(self, base: &str) -> Value {
        let [email, phone, address] = self.labels;
        let mut resource = json!({
            "schemas": [SCHEMA],
            "id": self.id,
            "userName": self.user_name.unwrap_or(self.email),
            "displayName": self.name,
            "active": self.active,
            "emails": value_list(self.email, email),
            "meta": {
                "resourceType": "User",
                "location": format!("{base}/Users/{}", self.id),
                "version": tag(self.version),
            },
        });
        for (name, value) in [
            ("externalId", self.external_id),
            ("title", self.title),
            ("locale", self.locale),
            ("timezone", self.time_zone),
        ] {
            if let Some(value) = value {
                resource[name] = value.into();
            }
        }
        let formatted = self.formatted_name.or((!self.name_told).then_some(self.name));
        let names = [("formatted", formatted), ("givenName", self.given_name), ("familyName", self.family_name)];
        for (name, value) in names {
            if let Some(value) = value {
                resource["name"][name] = value.into();
            }
        }
        if let Some(number) = self.phone {
            resource["phoneNumbers"] = value_list(number, phone);
        }
        if let Some(addresses) = address_list(self.address, self.formatted_address, address) {
            resource["addresses"] = addresses;
        }
        if !self.roles.is_empty() {
            resource["roles"] = self.roles.iter().map(|role| json!({ "value": role })).collect();
        }
        if !self.groups.is_empty() {
            let group = |(id, name): &(Uuid, &str)| json!({ "value": id, "display": name, "type": "direct", "$ref": format!("{base}/Groups/{id}") });
            resource["groups"] = self.groups.iter().map(group).collect();
        }
        if let Some((created, changed)) = self.times {
            resource["meta"]["created"] = created.into();
            resource["meta"]["lastModified"] = changed.into();
        }
        resource
    }
}

/// The resource of a user from the log, with the names of their groups from the read model.
async fn current_resource(
    scim: &Scim,
    incoming: &ScimRequest,
    id: Uuid,
    user: &User,
    version: u64,
) -> Result<Value, ScimError> {
    let tenant = incoming.tenant();
    let mut tables = scim.current(tenant).await?;
    let times = people::find(&mut tables, tenant, &[id]).await.map_err(unreadable)?.pop();
    let times = times.map(|row| (time(row.registered_at), time(row.changed_at)));
    let ids: Vec<Uuid> = user.groups.iter().map(|group| group.uuid()).collect();
    let groups = groups::find(&mut tables, tenant, &ids).await.map_err(unreadable)?;
    let (login, profile, labels) = (&user.login, &user.profile, &user.labels);
    Ok(UserView {
        id,
        version,
        user_name: login.user_name.as_ref().map(|name| name.reveal().as_str()),
        email: login.email.reveal(),
        external_id: user.external_id.as_ref().map(|id| id.reveal().as_str()),
        active: user.may_sign_in(),
        name: profile.name.reveal(),
        formatted_name: labels.formatted_name.as_ref().map(|name| name.reveal().as_str()),
        name_told: user.name_told,
        given_name: profile.given_name.as_ref().map(|name| name.reveal().as_str()),
        family_name: profile.family_name.as_ref().map(|name| name.reveal().as_str()),
        title: profile.title.as_deref(),
        phone: profile.phone.as_ref().map(|phone| phone.reveal().as_str()),
        address: profile.address.as_ref().map(Personal::reveal),
        formatted_address: labels.formatted_address.as_ref().map(|address| address.reveal().as_str()),
        labels: [label_parts(&labels.email), label_parts(&labels.phone), label_parts(&labels.address)],
        locale: profile.locale.as_deref(),
        time_zone: profile.time_zone.as_deref(),
        roles: user.roles.iter().map(String::as_str).collect(),
        groups: groups.iter().filter(|group| !group.dissolved).map(|group| (group.group_id, &*group.name)).collect(),
        times,
    }
    .resource(&scim.base))
}

/// The resources of users from the read model.
async fn resources(
    scim: &Scim,
    tables: &mut Transaction,
    tenant: TenantId,
    rows: Vec<PersonRow>,
) -> Result<Vec<Value>, ScimError> {
    let ids: std::collections::BTreeSet<Uuid> = rows.iter().flat_map(|row| row.groups.iter().copied()).collect();
    let ids: Vec<Uuid> = ids.into_iter().collect();
    let found =
        if ids.is_empty() { Vec::new() } else { groups::find(tables, tenant, &ids).await.map_err(unreadable)? };
    let names: std::collections::HashMap<Uuid, &str> =
        found.iter().filter(|group| !group.dissolved).map(|group| (group.group_id, &*group.name)).collect();
    let resources = rows.iter().map(|row| {
        UserView {
            id: row.user_id,
            version: row.version.cast_unsigned(),
            user_name: row.user_name.as_deref(),
            email: row.email.as_deref().unwrap_or_default(),
            external_id: row.external_id.as_deref(),
            active: row.status.0 == user_aggregates::UserStatus::Active,
            name: &row.name,
            formatted_name: row.formatted_name.as_deref(),
            name_told: row.name_told,
            given_name: row.given_name.as_deref(),
            family_name: row.family_name.as_deref(),
            title: row.title.as_deref(),
            phone: row.phone.as_deref(),
            address: row.address.as_deref(),
            formatted_address: row.formatted_address.as_deref(),
            labels: [
                (row.email_purpose.as_deref(), row.email_primary),
                (row.phone_purpose.as_deref(), row.phone_primary),
                (row.address_purpose.as_deref(), row.address_primary),
            ],
            locale: row.locale.as_deref(),
            time_zone: row.time_zone.as_deref(),
            roles: row.roles.iter().map(String::as_str).collect(),
            groups: row.groups.iter().filter_map(|id| names.get(id).map(|name| (*id, *name))).collect(),
            times: Some((time(row.registered_at), time(row.changed_at))),
        }
        .resource(&scim.base)
    });
    Ok(resources.collect())
}

pub(super) fn unreadable(error: impl std::fmt::Display) -> ScimError {
    tracing::warn!(%error, "the read models can't be read for SCIM");
    ScimError::of(StatusCode::SERVICE_UNAVAILABLE, "the directory is not available; try again")
}
