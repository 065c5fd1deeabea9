//! Discovery: the supported features, resource types and schemas (RFC 7644 section 4; RFC 7643 sections 5 to 7).

use serde_json::{Value, json};

use super::error::ScimError;
use super::list::MAX_COUNT;
use super::request::ScimRequest;
use super::{Answer, Reply, Scim, group, user};

/// `GET /ServiceProviderConfig`
pub(super) async fn configuration(scim: &Scim, _: ScimRequest) -> Answer {
    Ok(Reply::ok(json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"],
        "patch": { "supported": true },
        "bulk": { "supported": false, "maxOperations": 0, "maxPayloadSize": 0 },
        "filter": { "supported": true, "maxResults": MAX_COUNT },
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
pub(super) async fn resource_types(scim: &Scim, _: ScimRequest) -> Answer {
    Ok(Reply::ok(all(&types(&scim.base))))
}

/// `GET /ResourceTypes/{name}`
pub(super) async fn resource_type(scim: &Scim, incoming: ScimRequest) -> Answer {
    one(&types(&scim.base), "resource type", incoming.name())
}

/// `GET /Schemas`
pub(super) async fn schemas(scim: &Scim, _: ScimRequest) -> Answer {
    Ok(Reply::ok(all(&schema_resources(&scim.base))))
}

/// `GET /Schemas/{urn}`
pub(super) async fn schema(scim: &Scim, incoming: ScimRequest) -> Answer {
    one(&schema_resources(&scim.base), "schema", incoming.name())
}

/// A list response with all of these resources. Discovery has neither filters nor pages.
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

/// The description of an attribute. By default it is a writable string that is returned if it has a value; `more` overrides this.
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

/// The description of a multi-valued complex attribute with these sub-attributes.
fn multi_valued(name: &str, description: &str, mutability: &str, parts: Vec<Value>) -> Value {
    let more = json!({ "type": "complex", "multiValued": true, "mutability": mutability, "subAttributes": parts });
    attribute(name, description, &more)
}

/// Marks an attribute as required: every resource has a value.
fn required(mut attribute: Value) -> Value {
    attribute["required"] = true.into();
    attribute
}

/// The schemas of users and groups, with their locations under this base URL.
fn schema_resources(base: &str) -> [Value; 2] {
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
        required(multi_valued(
            "emails",
            "E-mail address of the user; may be left out if userName is an e-mail address",
            "readWrite",
            contact("E-mail address", &[], &["work", "home", "other"]),
        )),
        multi_valued(
            "phoneNumbers",
            "Telephone number of the user",
            "readWrite",
            contact(
                "Telephone number (E.164), such as +4930123456",
                &["+4930123456", "+12015550123"],
                &["work", "home", "mobile", "fax", "pager", "other"],
            ),
        ),
        multi_valued("addresses", "Postal address of the user", "readWrite", postal_address()),
        multi_valued("groups", "Groups of which the user is a member", "readOnly", reference("Group", &read_only())),
        multi_valued(
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
        multi_valued(
            "members",
            "Members of the group",
            "readWrite",
            reference("User", &json!({ "mutability": "immutable", "canonicalValues": ["User"] })),
        ),
    ]
}

/// The sub-attributes of an e-mail address or a telephone number.
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

/// The sub-attributes `type` and `primary` of a contact detail.
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

/// The sub-attributes of a reference to another resource.
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
