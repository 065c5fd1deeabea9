//! Users as SCIM has them, and what is asked of them.
//!
//! `userName` is what they sign in with: an e-mail address, or a name of their own and then the address is that of `emails`. Roles
//! are not given this way, but by groups and by whoever looks after users here.

use kernel::{Personal, PostalAddress, TenantId, UserId, Versions};
use poem::http::StatusCode;
use projector::Transaction;
use serde_json::{Map, Value, json};
use user_aggregates::User;
use user_commands::{LabelFields, LoginFields, ProfileFields, ProvisionUser, Provisioned, RemoveUser, ReplaceUser};
use user_projections::groups;
use user_projections::people::{self, PersonFilter, PersonRow};
use uuid::Uuid;

use super::contact::{Kept, contact, kept, label, only, only_address, part, postal_address};
use super::error::ScimError;
use super::filter::Filter;
use super::json::{self, flag, get, sent, set, text, time};
use super::list::{Asked, LOOKED_THROUGH, Shown};
use super::visit::Visit;
use super::{Answer, Reply, Scim, patch};

pub(super) const SCHEMA: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
pub(super) const PERMISSION: &str = "user:user:read";
const WHAT: &str = "user";

/// What nobody writes.
const READ_ONLY: [&str; 4] = ["id", "meta", "groups", "roles"];

/// `GET /Users`
pub(super) async fn list(scim: &Scim, visit: Visit) -> Answer {
    let asked = Asked::of(&visit)?;
    found(scim, &visit, &asked).await
}

/// `POST /Users/.search`
pub(super) async fn search(scim: &Scim, visit: Visit) -> Answer {
    let asked = Asked::read(&visit.object()?)?;
    found(scim, &visit, &asked).await
}

async fn found(scim: &Scim, visit: &Visit, asked: &Asked) -> Answer {
    visit.caller.require(PERMISSION)?;
    let tenant = visit.tenant();
    let mut tables = scim.current(tenant).await?;
    let Some(filter) = &asked.filter else {
        let (total, page) = page(scim, &mut tables, tenant, asked).await?;
        return Ok(Reply::ok(asked.answer(total, page)));
    };
    Ok(Reply::ok(asked.answer_of_all(candidates(scim, &mut tables, tenant, filter).await?)))
}

/// The users of a page, and how many there are in all.
pub(super) async fn page(
    scim: &Scim,
    tables: &mut Transaction,
    tenant: TenantId,
    asked: &Asked,
) -> Result<(i64, Vec<Value>), ScimError> {
    let total = people::count_present(tables, tenant).await.map_err(unreadable)?;
    let page = people::page_present(tables, tenant, asked.start - 1, asked.count).await.map_err(unreadable)?;
    Ok((total, shown(scim, tables, tenant, page).await?))
}

/// The users who may pass a filter.
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
        people::first(tables, tenant, &email, LOOKED_THROUGH).await.map_err(unreadable)?
    } else if let Some(external) = filter.equal_to("externalId", "") {
        people::by_external_id(tables, tenant, external, LOOKED_THROUGH).await.map_err(unreadable)?
    } else {
        let rows = people::page_present(tables, tenant, 0, LOOKED_THROUGH + 1).await.map_err(unreadable)?;
        if rows.len() as i64 > LOOKED_THROUGH {
            let detail = format!(
                "the tenant has more than {LOOKED_THROUGH} users, so a filter must compare userName, emails, externalId or id by eq; further conditions can be added with and"
            );
            return Err(ScimError::too_many(detail));
        }
        rows
    };
    let rows = rows.into_iter().filter(|row| row.status.0.is_present()).collect();
    shown(scim, tables, tenant, rows).await
}

/// `GET /Users/{id}`
pub(super) async fn read(scim: &Scim, visit: Visit) -> Answer {
    visit.caller.require(PERMISSION)?;
    let id = visit.resource(WHAT)?;
    let (user, version) = load(scim, &visit, id).await?;
    reply(scim, &visit, StatusCode::OK, id, &user, version).await
}

/// `POST /Users`
pub(super) async fn create(scim: &Scim, visit: Visit) -> Answer {
    let user = wanted(&visit.object()?, None)?;
    let provision = ProvisionUser { user, catalogue: scim.catalogue.clone() };
    let done = scim.runtime.executor.execute(&visit.request()?, &provision).await?;
    let id = done.answer.uuid();
    let (user, version) = load(scim, &visit, id).await?;
    reply(scim, &visit, StatusCode::CREATED, id, &user, version).await
}

/// `PUT /Users/{id}`
pub(super) async fn replace(scim: &Scim, visit: Visit) -> Answer {
    let (id, body) = (visit.resource(WHAT)?, visit.object()?);
    change(scim, &visit, id, |_, _| Ok(body)).await
}

/// `PATCH /Users/{id}`
pub(super) async fn patch(scim: &Scim, visit: Visit) -> Answer {
    let (id, operations) = (visit.resource(WHAT)?, patch::operations(&visit.object()?)?);
    change(scim, &visit, id, |user, mut resource| {
        let before = resource.clone();
        for operation in operations {
            patch::apply(&mut resource, operation, &READ_ONLY)?;
        }
        follow(&before, &mut resource);
        if !user.name_told {
            stay_untold(&before, &mut resource);
        }
        Ok(resource)
    })
    .await
}

/// What was said once and stands twice in SCIM follows the one of which a PATCH speaks: a full name that is shown as it is written out,
/// and an address by which they sign in.
fn follow(before: &Map<String, Value>, resource: &mut Map<String, Value>) {
    let same = |resource: &Map<String, Value>, name: &str| get(before, name) == get(resource, name);
    let was_shown = formatted(before).is_some() && formatted(before) == text(before, "displayName");
    if let Some(name) = formatted(resource).filter(|_| was_shown && same(resource, "displayName")) {
        set(resource, "displayName", name.into());
    }
    if !same(resource, "userName")
        && same(resource, "emails")
        && let Some(address) = text(resource, "userName").filter(|name| name.contains('@'))
    {
        // What it is for is said still.
        let mut emails = get(resource, "emails").cloned().unwrap_or_default();
        for email in emails.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
            set(email, "value", address.as_str().into());
        }
        set(resource, "emails", emails);
    }
}

/// A full name that is only shown, and of which a PATCH says nothing, is none that was said.
fn stay_untold(before: &Map<String, Value>, resource: &mut Map<String, Value>) {
    let Some(shown) = formatted(resource).filter(|name| formatted(before).as_ref() == Some(name)) else { return };
    if matches!(sent(resource, "displayName"), Ok(None)) {
        set(resource, "displayName", shown.into());
    }
    if let Some(mut name) = get(resource, "name").and_then(Value::as_object).cloned() {
        json::remove(&mut name, "formatted");
        set(resource, "name", Value::Object(name));
    }
}

/// The full name as it is written out.
fn formatted(resource: &Map<String, Value>) -> Option<String> {
    text(get(resource, "name")?.as_object()?, "formatted")
}

/// `DELETE /Users/{id}`
pub(super) async fn remove(scim: &Scim, visit: Visit) -> Answer {
    let id = visit.resource(WHAT)?;
    visit.caller.require("user:user:write")?;
    load(scim, &visit, id).await?;
    let remove = RemoveUser { user: UserId::new(id), catalogue: scim.catalogue.clone() };
    scim.runtime.executor.execute(&visit.request()?, &remove).await?;
    Ok(Reply::nothing())
}

/// Makes a user what `to` makes of how they are. It counts only for the version that was looked at.
async fn change(
    scim: &Scim,
    visit: &Visit,
    id: Uuid,
    to: impl FnOnce(&User, Map<String, Value>) -> Result<Map<String, Value>, ScimError>,
) -> Answer {
    visit.caller.require("user:user:write")?;
    let (before, version) = load(scim, visit, id).await?;
    let Value::Object(resource) = of_state(scim, visit, id, &before, version).await? else {
        return Err(ScimError::syntax("the body is not a JSON object"));
    };
    let user = wanted(&to(&before, resource)?, Some(&before))?;
    let mut request = visit.request()?;
    if let Some(wanted) = request.if_match.replace(Versions::from(version))
        && !wanted.contains(version)
    {
        return Err(ScimError::version_differs(&wanted, version));
    }
    let replace = ReplaceUser { id: UserId::new(id), user, catalogue: scim.catalogue.clone() };
    scim.runtime.executor.execute(&request, &replace).await?;
    let (after, version) = load(scim, visit, id).await?;
    reply(scim, visit, StatusCode::OK, id, &after, version).await
}

/// As much of a user as is wanted.
async fn reply(scim: &Scim, visit: &Visit, status: StatusCode, id: Uuid, user: &User, version: u64) -> Answer {
    let resource = of_state(scim, visit, id, user, version).await?;
    Ok(Reply::resource(status, resource, version, &Shown::of(visit)))
}

/// A user of the tenant; who is none any more is as unknown as who never was.
async fn load(scim: &Scim, visit: &Visit, id: Uuid) -> Result<(std::sync::Arc<User>, u64), ScimError> {
    let found = scim.runtime.executor.load::<User>(&visit.caller, &id.to_string()).await?;
    found.filter(|(user, _)| user.status.is_present()).ok_or_else(|| ScimError::not_found(WHAT, visit.name()))
}

/// What a resource says of a user. `before`: what it does not speak of stays as it is.
fn wanted(resource: &Map<String, Value>, before: Option<&User>) -> Result<Provisioned, ScimError> {
    let user_name = sent(resource, "userName")?.ok_or_else(|| ScimError::value("userName is missing"))?;
    let (email_contact, phone_contact) = (contact(resource, "emails")?, contact(resource, "phoneNumbers")?);
    let (email, phone) = (part(email_contact, "value")?, part(phone_contact, "value")?);
    let address = contact(resource, "addresses")?;
    let active = match get(resource, "active") {
        None | Some(Value::Null) => true,
        Some(active) => flag(active).ok_or_else(|| ScimError::value("active must be true or false"))?,
    };
    let login = if user_name.contains('@') {
        // Who leaves leaves, whatever else is said of them.
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
    let (given_name, family_name) = (sent(&name, "givenName")?, sent(&name, "familyName")?);
    let formatted_name = sent(&name, "formatted")?;
    let whole = [given_name.as_deref(), family_name.as_deref()].into_iter().flatten().collect::<Vec<_>>().join(" ");
    let shown = sent(resource, "displayName")?.or_else(|| formatted_name.clone());
    let languages = sent(resource, "preferredLanguage")?;
    Ok(Provisioned {
        login,
        profile: ProfileFields {
            name: shown.or(Some(whole).filter(|name| !name.is_empty())).unwrap_or(user_name),
            given_name,
            family_name,
            title: sent(resource, "title")?,
            // RFC 7643 section 4.1.2 has them as addresses: `tel:+1-201-555-0123`.
            phone: phone.map(|phone| phone.strip_prefix("tel:").unwrap_or(&phone).to_owned()),
            address: postal_address(address)?,
            // No provider keeps it.
            picture: before.and_then(|user| user.profile.picture.as_ref()).map(|picture| picture.reveal().clone()),
            locale: sent(resource, "locale")?.or_else(|| preferred(&languages?)),
            time_zone: sent(resource, "timezone")?,
        },
        external_id: sent(resource, "externalId")?,
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

/// The first language of such as `da, en-gb;q=0.8`: they are said in the order in which they are wanted (RFC 9110 section 12.5.4).
fn preferred(languages: &str) -> Option<String> {
    let first = languages.split([',', ';']).next().map(str::trim);
    first.filter(|language| !language.is_empty() && *language != "*").map(str::to_owned)
}

/// What is shown of a user, from whatever is known of them.
struct Known<'a> {
    id: Uuid,
    version: u64,
    user_name: Option<&'a str>,
    email: &'a str,
    external_id: Option<&'a str>,
    active: bool,
    name: &'a str,
    formatted_name: Option<&'a str>,
    /// Whether a provider ever said one. Of whom none did, it is the name that is shown.
    name_told: bool,
    given_name: Option<&'a str>,
    family_name: Option<&'a str>,
    title: Option<&'a str>,
    phone: Option<&'a str>,
    address: Option<&'a PostalAddress>,
    formatted_address: Option<&'a str>,
    /// Of their e-mail address, their number and their postal address.
    labels: [Kept<'a>; 3],
    locale: Option<&'a str>,
    time_zone: Option<&'a str>,
    roles: Vec<&'a str>,
    groups: Vec<(Uuid, &'a str)>,
    times: Option<(String, String)>,
}

impl Known<'_> {
    fn resource(self, base: &str) -> Value {
        let [email, phone, address] = self.labels;
        let mut resource = json!({
            "schemas": [SCHEMA],
            "id": self.id,
            "userName": self.user_name.unwrap_or(self.email),
            "displayName": self.name,
            "active": self.active,
            "emails": only(self.email, email),
            "meta": {
                "resourceType": "User",
                "location": format!("{base}/Users/{}", self.id),
                "version": format!("W/\"{}\"", self.version),
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
            resource["phoneNumbers"] = only(number, phone);
        }
        if let Some(addresses) = only_address(self.address, self.formatted_address, address) {
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

/// A user as the log has them, with their groups' names as the read model does.
async fn of_state(scim: &Scim, visit: &Visit, id: Uuid, user: &User, version: u64) -> Result<Value, ScimError> {
    let tenant = visit.tenant();
    let mut tables = scim.current(tenant).await?;
    let times = people::find(&mut tables, tenant, &[id]).await.map_err(unreadable)?.pop();
    let times = times.map(|row| (time(row.registered_at), time(row.changed_at)));
    let ids: Vec<Uuid> = user.groups.iter().map(|group| group.uuid()).collect();
    let groups = groups::find(&mut tables, tenant, &ids).await.map_err(unreadable)?;
    let (login, profile, labels) = (&user.login, &user.profile, &user.labels);
    Ok(Known {
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
        labels: [kept(&labels.email), kept(&labels.phone), kept(&labels.address)],
        locale: profile.locale.as_deref(),
        time_zone: profile.time_zone.as_deref(),
        roles: user.roles.iter().map(String::as_str).collect(),
        groups: groups.iter().filter(|group| !group.dissolved).map(|group| (group.group_id, &*group.name)).collect(),
        times,
    }
    .resource(&scim.base))
}

/// Users as the read model has them.
async fn shown(
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
        Known {
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
