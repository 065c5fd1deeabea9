//! The SCIM resource `User`: read from a request, and shown from the log or from the read models.

use kernel::{Personal, PostalAddress, TenantId};
use projector::Transaction;
use serde_json::{Map, Value, json};
use user_aggregates::User;
use user_commands::{LabelFields, LoginFields, ProfileFields, Provisioned};
use user_projections::groups;
use user_projections::people::{self, PersonRow};
use uuid::Uuid;

use super::contact::{LabelParts, address_list, contact, label, label_parts, part, postal_address, value_list};
use super::error::ScimError;
use super::json::{flag, get, string, time};
use super::request::ScimRequest;
use super::user::SCHEMA;
use super::{Scim, tag};

/// The fields of a user from a SCIM resource. Fields that SCIM does not have are taken from `before`.
pub(super) fn parse_user(resource: &Map<String, Value>, before: Option<&User>) -> Result<Provisioned, ScimError> {
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
pub(super) async fn current_resource(
    scim: &Scim,
    incoming: &ScimRequest,
    id: Uuid,
    user: &User,
    version: u64,
) -> Result<Value, ScimError> {
    let tenant = incoming.tenant();
    let mut tables = scim.current(tenant).await?;
    let times = people::find(&mut tables, tenant, &[id]).await.map_err(ScimError::unreadable)?.pop();
    let times = times.map(|row| (time(row.registered_at), time(row.changed_at)));
    let ids: Vec<Uuid> = user.groups.iter().map(|group| group.uuid()).collect();
    let groups = groups::find(&mut tables, tenant, &ids).await.map_err(ScimError::unreadable)?;
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
pub(super) async fn resources(
    scim: &Scim,
    tables: &mut Transaction,
    tenant: TenantId,
    rows: Vec<PersonRow>,
) -> Result<Vec<Value>, ScimError> {
    let ids: std::collections::BTreeSet<Uuid> = rows.iter().flat_map(|row| row.groups.iter().copied()).collect();
    let ids: Vec<Uuid> = ids.into_iter().collect();
    let found = if ids.is_empty() {
        Vec::new()
    } else {
        groups::find(tables, tenant, &ids).await.map_err(ScimError::unreadable)?
    };
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
