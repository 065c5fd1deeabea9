//! What we do of SCIM, for those who ask first (RFC 7644 section 4; RFC 7643 sections 5 to 7).

use serde_json::{Value, json};

use super::error::ScimError;
use super::list::MOST;
use super::visit::Visit;
use super::{Answer, Reply, Scim, group, user};

/// `GET /ServiceProviderConfig`
pub(super) async fn configuration(scim: &Scim, _: Visit) -> Answer {
    Ok(Reply::ok(json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"],
        "patch": { "supported": true },
        "bulk": { "supported": false, "maxOperations": 0, "maxPayloadSize": 0 },
        "filter": { "supported": true, "maxResults": MOST },
        "changePassword": { "supported": false },
        "sort": { "supported": false },
        "etag": { "supported": true },
        "authenticationSchemes": [{
            "type": "oauthbearertoken",
            "name": "Bearer token",
            "description": "An API key of a machine, or an access token issued to it by the tenant's authorization server",
            "specUri": "https://www.rfc-editor.org/info/rfc6750",
            "primary": true,
        }],
        "meta": { "resourceType": "ServiceProviderConfig", "location": format!("{}/ServiceProviderConfig", scim.base) },
    })))
}

fn types(base: &str) -> [Value; 2] {
    [
        ("User", "/Users", user::SCHEMA, "A user of the tenant"),
        ("Group", "/Groups", group::SCHEMA, "A group of users that get roles together"),
    ]
    .map(|(name, endpoint, schema, description)| {
        json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ResourceType"],
            "id": name,
            "name": name,
            "endpoint": endpoint,
            "description": description,
            "schema": schema,
            "meta": { "resourceType": "ResourceType", "location": format!("{base}/ResourceTypes/{name}") },
        })
    })
}

/// `GET /ResourceTypes`
pub(super) async fn resource_types(scim: &Scim, _: Visit) -> Answer {
    Ok(Reply::ok(all(&types(&scim.base))))
}

/// `GET /ResourceTypes/{name}`
pub(super) async fn resource_type(scim: &Scim, visit: Visit) -> Answer {
    one(&types(&scim.base), "resource type", visit.name())
}

/// `GET /Schemas`
pub(super) async fn schemas(scim: &Scim, _: Visit) -> Answer {
    Ok(Reply::ok(all(&described(&scim.base))))
}

/// `GET /Schemas/{urn}`
pub(super) async fn schema(scim: &Scim, visit: Visit) -> Answer {
    one(&described(&scim.base), "schema", visit.name())
}

/// These have neither filter nor pages.
fn all(resources: &[Value]) -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
        "totalResults": resources.len(),
        "startIndex": 1,
        "itemsPerPage": resources.len(),
        "Resources": resources,
    })
}

fn one(resources: &[Value], what: &str, id: &str) -> Answer {
    let found = resources.iter().find(|resource| resource["id"] == id).cloned();
    found.map(Reply::ok).ok_or_else(|| ScimError::not_found(what, id))
}

/// An attribute: a text that may be written and is there when it has a value, unless `more` says something else.
fn attribute(name: &str, description: &str, more: &Value) -> Value {
    let mut attribute = json!({
        "name": name, "type": "string", "multiValued": false, "description": description, "required": false,
        "caseExact": false, "mutability": "readWrite", "returned": "default", "uniqueness": "none",
    });
    for (name, value) in more.as_object().into_iter().flatten() {
        attribute[name] = value.clone();
    }
    attribute
}

/// A list of values with a kind, one of them the primary one.
fn several(name: &str, description: &str, mutability: &str, parts: Vec<Value>) -> Value {
    let more = json!({ "type": "complex", "multiValued": true, "mutability": mutability, "subAttributes": parts });
    attribute(name, description, &more)
}

/// The same attribute, which always is there: whoever asks first says it.
fn required(mut attribute: Value) -> Value {
    attribute["required"] = true.into();
    attribute
}

/// The two schemas, as they are found under this base.
fn described(base: &str) -> [Value; 2] {
    let schema = |id: &str, name: &str, description: &str, attributes: &[Value]| {
        json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Schema"],
            "id": id,
            "name": name,
            "description": description,
            "attributes": attributes,
            "meta": { "resourceType": "Schema", "location": format!("{base}/Schemas/{id}") },
        })
    };
    [
        schema(user::SCHEMA, "User", "A user of the tenant", &user_attributes()),
        schema(group::SCHEMA, "Group", "A group of users that get roles together", &group_attributes()),
    ]
}

fn user_attributes() -> [Value; 13] {
    let none = json!({});
    let name = vec![
        attribute("formatted", "The full formatted name, including titles and suffixes", &none),
        attribute("givenName", "Given name", &none),
        attribute("familyName", "Family name", &none),
    ];
    [
        attribute(
            "userName",
            "What the user signs in with: either their e-mail address, or a name of 2 to 64 characters (letters a-z, digits and . _ -)",
            &json!({ "required": true, "uniqueness": "server" }),
        ),
        attribute("externalId", "Id of the user at the identity provider", &json!({ "caseExact": true })),
        attribute("name", "Name of the user", &json!({ "type": "complex", "subAttributes": name })),
        required(attribute("displayName", "The full name, as it is displayed; name.formatted by default", &none)),
        attribute("title", "Job title", &none),
        attribute(
            "locale",
            "Preferred language (BCP 47)",
            &json!({ "canonicalValues": ["en", "de", "fr-CA", "pt-BR", "zh-Hant-TW"] }),
        ),
        attribute(
            "timezone",
            "Time zone (IANA time zone database)",
            &json!({ "canonicalValues": ["UTC", "Europe/Berlin", "America/New_York", "Asia/Tokyo"] }),
        ),
        required(attribute("active", "Whether the user may sign in; true by default", &json!({ "type": "boolean" }))),
        required(several(
            "emails",
            "E-mail address of the user; may be left out if userName is an e-mail address",
            "readWrite",
            contact("E-mail address", &[], &["work", "home", "other"]),
        )),
        several(
            "phoneNumbers",
            "Telephone number of the user",
            "readWrite",
            contact(
                "Telephone number (E.164), such as +4930123456",
                &["+4930123456", "+12015550123"],
                &["work", "home", "mobile", "fax", "pager", "other"],
            ),
        ),
        several("addresses", "Postal address of the user", "readWrite", postal_address()),
        several("groups", "Groups of which the user is a member", "readOnly", reference("Group", &read_only())),
        several(
            "roles",
            "The user's own roles, without those of their groups",
            "readOnly",
            vec![attribute("value", "Name", &none)],
        ),
    ]
}

fn group_attributes() -> [Value; 3] {
    [
        attribute("displayName", "Name", &json!({ "required": true, "uniqueness": "server" })),
        attribute("externalId", "Id of the group at the identity provider", &json!({ "caseExact": true })),
        several(
            "members",
            "Members of the group",
            "readWrite",
            reference("User", &json!({ "mutability": "immutable", "canonicalValues": ["User"] })),
        ),
    ]
}

/// The sub-attributes of an e-mail address or a number, of which there may be several.
fn contact(description: &str, examples: &[&str], purposes: &[&str]) -> Vec<Value> {
    let value = attribute("value", description, &json!({ "required": true, "canonicalValues": examples }));
    [vec![value], kind(purposes)].concat()
}

/// The sub-attributes of a postal address.
fn postal_address() -> Vec<Value> {
    let none = json!({});
    let parts = vec![
        attribute("formatted", "The complete formatted address; stored as sent, in addition to the components", &none),
        attribute("streetAddress", "Street and number, in one or more lines, up to 300 characters", &none),
        attribute("locality", "City, town or village", &none),
        attribute("region", "State, province, prefecture or county", &none),
        attribute(
            "postalCode",
            "Postal code, up to 20 characters",
            &json!({ "canonicalValues": ["10117", "SW1Y 4JH", "150-0001"] }),
        ),
        attribute(
            "country",
            "Country code (ISO 3166-1 alpha-2)",
            &json!({ "canonicalValues": ["DE", "GB", "JP", "US"] }),
        ),
    ];
    [parts, kind(&["work", "home", "other"])].concat()
}

/// What a value of several is for, and whether it is the one.
fn kind(purposes: &[&str]) -> Vec<Value> {
    vec![
        attribute("type", "Purpose; work by default", &json!({ "canonicalValues": purposes })),
        attribute(
            "primary",
            "Whether it is the preferred value; true by default. Of several values, only the primary one is stored",
            &json!({ "type": "boolean" }),
        ),
    ]
}

/// The sub-attributes of another resource that is named.
fn reference(what: &str, kind: &Value) -> Vec<Value> {
    vec![
        attribute("value", "Id of the resource", &json!({ "mutability": "immutable" })),
        attribute(
            "$ref",
            "URI of the resource",
            &json!({ "type": "reference", "referenceTypes": [what], "mutability": "immutable" }),
        ),
        attribute("display", "Name", &read_only()),
        attribute("type", "Type of the resource", kind),
    ]
}

fn read_only() -> Value {
    json!({ "mutability": "readOnly" })
}
