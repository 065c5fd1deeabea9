//! SCIM 2.0 as identity providers use it: the examples of RFC 7644 over HTTP, and requests that widely used providers send.

use kernel::Role;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::issuers::Machine;
use crate::users::ask;
use crate::world::{Answer, PROPAGATION, World};

pub const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
pub const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";

/// The body of a request that changes a resource by these operations.
pub fn patch(operations: Value) -> Value {
    json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations })
}

/// An identity provider, with the API key of a machine that has only the SCIM permissions.
pub struct Provider<'a> {
    pub world: &'a World,
    pub key: String,
}

impl<'a> Provider<'a> {
    pub async fn of(world: &'a World) -> Self {
        let permissions = ["user:user:read", "user:user:write", "user:group:read", "user:group:write"];
        let role = json!({ "name": "provisioning", "title": "Provisioning", "permissions": permissions });
        let defined = world.post("/v1/user/roles", role).await;
        assert_eq!(defined.status, StatusCode::CREATED, "{defined:?}");
        // Waits for the read models, which may take longer to start than a SCIM list waits.
        ask(world, &defined, "roles { name }").await;
        let machine = Machine::register(world, "provider", &["provisioning"]).await;
        let (_, key) = machine.api_key(world, json!({})).await;
        Self { world, key }
    }

    pub fn request(&self, method: Method, path: &str, body: &Value) -> reqwest::RequestBuilder {
        let request = self.world.anonymous(method, &format!("/scim/v2{path}")).bearer_auth(&self.key);
        if body.is_null() {
            return request;
        }
        request.header("content-type", "application/scim+json").body(body.to_string())
    }

    pub async fn ask(&self, method: Method, path: &str, body: Value) -> Answer {
        let answer = Answer::of(self.request(method, path, &body)).await;
        if answer.status != StatusCode::NO_CONTENT {
            assert_eq!(answer.header("content-type"), "application/scim+json", "{answer:?}");
        }
        answer
    }

    pub async fn get(&self, path: &str) -> Answer {
        let answer = self.ask(Method::GET, path, Value::Null).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {answer:?}");
        answer
    }

    /// Creates a user and returns them.
    pub async fn create(&self, user: Value) -> Value {
        let made = self.ask(Method::POST, "/Users", user).await;
        assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
        made.body
    }

    /// Creates users of these names. Returns their ids.
    pub async fn create_named(&self, names: &[&str]) -> Vec<String> {
        let mut ids = Vec::new();
        for name in names {
            let user = json!({ "userName": format!("{name}@example.com"), "displayName": name });
            ids.push(self.create(user).await["id"].as_str().unwrap().to_owned());
        }
        ids
    }

    pub async fn patch(&self, path: &str, operations: Value) -> Answer {
        self.ask(Method::PATCH, path, patch(operations)).await
    }

    pub async fn filtered(&self, filter: &str) -> Answer {
        let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("filter", filter).finish();
        self.ask(Method::GET, &format!("/Users?{query}"), Value::Null).await
    }

    /// The `userName`s of the users that a filter finds.
    pub async fn found(&self, filter: &str) -> Vec<String> {
        let answer = self.filtered(filter).await;
        assert_eq!(answer.status, StatusCode::OK, "{filter}: {answer:?}");
        let resources = answer.body["Resources"].as_array().unwrap();
        assert_eq!(answer.body["totalResults"], resources.len(), "{answer:?}");
        resources.iter().map(|user| user["userName"].as_str().unwrap().to_owned()).collect()
    }

    /// A request that must be refused, with nothing written; the error must have the form of RFC 7644.
    pub async fn refused(&self, method: Method, path: &str, body: Value, status: StatusCode, scim_type: Option<&str>) {
        let before = self.world.head().await;
        let answer = self.ask(method, path, body).await;
        assert_eq!((answer.status, answer.body["scimType"].as_str()), (status, scim_type), "{path}: {answer:?}");
        assert_eq!(answer.body["schemas"], json!(["urn:ietf:params:scim:api:messages:2.0:Error"]));
        assert_eq!(answer.body["status"], status.as_u16().to_string(), "a text, as the specification says");
        let detail = answer.body["detail"].as_str().unwrap();
        let is_pointer = |word: &str| word.starts_with('/') && word.ends_with(':');
        assert!(!detail.is_empty() && !detail.split(' ').any(is_pointer), "no pointers: {detail}");
        assert_eq!(self.world.head().await, before, "something was written");
    }
}

fn bjensen() -> Value {
    json!({
        "schemas": [USER], "userName": "bjensen", "externalId": "701984",
        "name": { "formatted": "Ms. Barbara J Jensen, III", "familyName": "Jensen", "givenName": "Barbara" },
        "title": "Tour Guide", "locale": "en-US", "timezone": "America/Los_Angeles",
        "emails": [{ "value": "babs@jensen.org", "type": "home" }, { "value": "bjensen@example.com", "primary": true }],
        "phoneNumbers": [{ "value": "+1-555-555-8377", "type": "work" }],
        "addresses": [
            { "type": "home", "streetAddress": "456 Hollywood Blvd", "locality": "Hollywood", "country": "US" },
            { "type": "work", "streetAddress": "100 Universal City Plaza", "locality": "Hollywood", "region": "CA",
                "postalCode": "91608", "country": "us", "primary": true,
                "formatted": "100 Universal City Plaza\nHollywood, CA 91608 USA" },
        ],
    })
}

#[tokio::test]
async fn a_user_is_made_read_replaced_and_removed_as_the_rfc_says() {
    let world = World::start().await;
    let provider = Provider::of(&world).await;
    let made = provider.ask(Method::POST, "/Users", bjensen()).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    let id = made.body["id"].as_str().unwrap();
    let path = format!("/Users/{id}");
    let location = format!("{}/scim/v2{path}", world.url);
    assert_eq!((made.header("location"), made.body["meta"]["location"].as_str()), (&*location, Some(&*location)));
    assert_eq!((made.header("etag"), &made.body["meta"]["resourceType"]), ("W/\"3\"", &json!("User")));
    for (member, value) in [
        ("userName", json!("bjensen")),
        ("externalId", json!("701984")),
        ("active", json!(true)),
        ("displayName", json!("Ms. Barbara J Jensen, III")),
        ("emails", json!([{ "value": "bjensen@example.com", "type": "work", "primary": true }])),
        ("phoneNumbers", json!([{ "value": "+15555558377", "type": "work", "primary": true }])),
        (
            "addresses",
            json!([{ "type": "work", "streetAddress": "100 Universal City Plaza", "locality": "Hollywood", "region": "CA",
                "postalCode": "91608", "country": "US", "primary": true,
                "formatted": "100 Universal City Plaza\nHollywood, CA 91608 USA" }]),
        ),
        ("timezone", json!("America/Los_Angeles")),
    ] {
        assert_eq!(made.body[member], value, "{member} of {made:?}");
    }
    assert!(made.body["meta"]["created"].is_string(), "the directory has them already: {made:?}");
    assert_eq!(provider.get(&path).await.body, made.body);
    let some = provider.get(&format!("{path}?attributes=userName,name.givenName")).await.body;
    assert!(some["userName"] == "bjensen" && some["active"].is_null() && some["id"] == id, "{some}");

    // A replacement removes attributes that it does not contain.
    let mut changed =
        json!({ "schemas": [USER], "id": id, "userName": "Babs@Example.com", "displayName": "Babs", "active": true });
    changed["meta"] = made.body["meta"].clone();
    let replaced = provider.ask(Method::PUT, &path, changed.clone()).await;
    assert_eq!(replaced.status, StatusCode::OK, "{replaced:?}");
    assert_eq!(replaced.body["userName"], "babs@example.com");
    assert!(replaced.body["title"].is_null() && replaced.body["externalId"].is_null(), "{replaced:?}");
    assert!(replaced.body["addresses"].is_null(), "{replaced:?}");
    let etag = replaced.header("etag").to_owned();
    let again = provider.ask(Method::PUT, &path, changed).await;
    assert_eq!(again.header("etag"), etag, "the same again changes nothing");
    let stale = provider.request(Method::PUT, &path, &bjensen()).header("if-match", "W/\"1\"");
    assert_eq!(Answer::of(stale).await.status, StatusCode::PRECONDITION_FAILED);

    let removed = provider.ask(Method::DELETE, &path, Value::Null).await;
    assert_eq!(removed.status, StatusCode::NO_CONTENT, "{removed:?}");
    provider.refused(Method::GET, &path, Value::Null, StatusCode::NOT_FOUND, None).await;
    provider.refused(Method::DELETE, &path, Value::Null, StatusCode::NOT_FOUND, None).await;
    assert_eq!(provider.get("/Users").await.body["totalResults"], 0);
    provider.create(bjensen()).await;
}

#[tokio::test]
async fn a_user_is_patched_and_deactivated_which_ends_what_their_tokens_may_within_a_second() {
    let world = World::start().await;
    let provider = Provider::of(&world).await;
    let user = provider.create(bjensen()).await;
    let (id, path) = (user["id"].as_str().unwrap(), format!("/Users/{}", user["id"].as_str().unwrap()));
    let changed = json!([
        { "op": "Replace", "path": "name.familyName", "value": "Smith" },
        { "op": "add", "path": "emails[type eq \"work\"].value", "value": "bsmith@example.com" },
        { "op": "replace", "value": { "displayName": "Barbara Smith", "urn:ietf:params:scim:schemas:core:2.0:User:title": "Head Guide" } },
    ]);
    let changed = provider.patch(&path, changed).await;
    assert_eq!(changed.status, StatusCode::OK, "{changed:?}");
    let shown = |member: &str| changed.body[member].clone();
    assert_eq!((shown("displayName"), shown("title")), (json!("Barbara Smith"), json!("Head Guide")));
    assert_eq!(
        (&changed.body["name"]["familyName"], &changed.body["name"]["givenName"]),
        (&json!("Smith"), &json!("Barbara"))
    );
    assert_eq!(changed.body["emails"][0]["value"], "bsmith@example.com");
    assert_eq!(changed.body["externalId"], "701984", "what was not spoken of stays");

    let token = world.token_of_user(id);
    let me = || world.anonymous(Method::GET, "/v1/user/permissions").bearer_auth(&token);
    assert_eq!(Answer::of(me()).await.code(), "permission_missing", "a user without a role, who may sign in");
    let out = provider.patch(&path, json!([{ "op": "Replace", "path": "active", "value": "False" }])).await;
    assert_eq!((out.status, &out.body["active"]), (StatusCode::OK, &json!(false)), "{out:?}");
    let refused = async { while Answer::of(me()).await.code() != "user_inactive" {} };
    tokio::time::timeout(PROPAGATION, refused).await.expect("still accepted");
    let back = provider.patch(&path, json!([{ "op": "replace", "value": { "active": true } }])).await;
    assert_eq!(back.body["active"], true, "{back:?}");

    // A lock by an administrator can't be undone by a provider.
    assert_eq!(
        world.post(&format!("/v1/user/users/{id}/lock"), json!({ "reason": "phished" })).await.status,
        StatusCode::OK
    );
    let locked = provider.patch(&path, json!([{ "op": "replace", "path": "active", "value": true }])).await;
    assert_eq!((locked.status, &locked.body["active"]), (StatusCode::OK, &json!(false)), "{locked:?}");
}

#[tokio::test]
async fn users_are_found_by_filters_and_listed_in_pages() {
    let world = World::start().await;
    let provider = Provider::of(&world).await;
    for name in ["ada", "grace", "hedy"] {
        let user = json!({ "schemas": [USER], "userName": name, "externalId": format!("ext-{name}"), "title": "Engineer",
            "displayName": name.to_uppercase(), "emails": [{ "value": format!("{name}@example.com") }], "active": name != "hedy" });
        provider.create(user).await;
    }
    for (filter, expected) in [
        ("userName eq \"ADA\"", &["ada"][..]),
        ("userName eq \"grace@example.com\"", &[][..]),
        ("emails.value eq \"grace@example.com\"", &["grace"]),
        ("emails[type eq \"work\" and value eq \"grace@example.com\"]", &["grace"]),
        ("externalId eq \"ext-hedy\"", &["hedy"]),
        ("externalId eq \"ext-hedy\" and active eq true", &[]),
        ("title pr and active eq true", &["ada", "grace"]),
        ("userName sw \"g\" or displayName co \"ED\"", &["grace", "hedy"]),
        ("userName eq \"nobody\"", &[]),
    ] {
        assert_eq!(provider.found(filter).await, expected, "{filter}");
    }
    let page = provider.get("/Users?startIndex=2&count=1&attributes=userName").await.body;
    assert_eq!((&page["totalResults"], &page["startIndex"], &page["itemsPerPage"]), (&json!(3), &json!(2), &json!(1)));
    assert_eq!(page["Resources"][0]["userName"], "grace", "in the order in which they came");
    assert_eq!(page["schemas"], json!(["urn:ietf:params:scim:api:messages:2.0:ListResponse"]));
    assert_eq!(provider.get("/Users?count=0").await.body["totalResults"], 3);
    let search =
        json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"], "filter": "userName eq \"ada\"" });
    let searched = provider.ask(Method::POST, "/Users/.search", search).await;
    assert_eq!(searched.body["Resources"][0]["userName"], "ada", "{searched:?}");
    assert_eq!(provider.filtered("userName is \"ada\"").await.body["scimType"], "invalidFilter");
}

#[tokio::test]
async fn attack_58_a_provider_does_no_more_than_it_may_and_what_is_wrong_is_said_in_scims_words() {
    let world = World::start().await;
    let provider = Provider::of(&world).await;
    provider.create(bjensen()).await;
    let (bad, conflict) = (StatusCode::BAD_REQUEST, StatusCode::CONFLICT);
    let post = async |body: Value, status, scim_type| {
        provider.refused(Method::POST, "/Users", body, status, Some(scim_type)).await;
    };
    post(bjensen(), conflict, "uniqueness").await;
    post(json!({ "userName": "eve" }), bad, "invalidValue").await;
    post(json!({ "displayName": "Eve" }), bad, "invalidValue").await;
    post(json!({ "userName": "eve@example.com", "active": "perhaps" }), bad, "invalidValue").await;
    post(json!({ "userName": "eve@@example" }), bad, "invalidValue").await;
    post(json!([1]), bad, "invalidSyntax").await;
    let unknown = "/Users/0197a8a0-0000-7000-8000-000000000001";
    provider.refused(Method::GET, unknown, Value::Null, StatusCode::NOT_FOUND, None).await;
    provider.refused(Method::GET, "/Users/2819c223", Value::Null, StatusCode::NOT_FOUND, None).await;

    // A provider can't change administrators, and can't make anybody an administrator: it can't write roles.
    let admin = json!({ "name": "Root", "email": "root@example.com", "roles": ["admin"] });
    let admin = world.post("/v1/user/users", admin).await;
    let admin = format!("/Users/{}", admin.body["id"].as_str().unwrap());
    let forbidden = StatusCode::FORBIDDEN;
    let off = json!({ "Operations": [{ "op": "replace", "path": "active", "value": false }] });
    provider.refused(Method::PATCH, &admin, off, forbidden, None).await;
    provider.refused(Method::DELETE, &admin, Value::Null, forbidden, None).await;
    // Nor can it remove an administrator from a group: that ends their sessions, so repeated removals would lock them out.
    let id = admin.strip_prefix("/Users/").unwrap();
    let lunch = world.post("/v1/user/groups", json!({ "name": "Lunch" })).await.body["id"].as_str().unwrap().to_owned();
    let joined = world.post(&format!("/v1/user/groups/{lunch}/change-members"), json!({ "join": [id] })).await;
    assert_eq!(joined.status, StatusCode::OK, "{joined:?}");
    testbed::eventually("the member is listed", async || {
        let members = provider.get(&format!("/Groups/{lunch}")).await.body["members"].clone();
        (members[0]["value"] == id).then_some(())
    })
    .await;
    let out = json!({ "Operations": [{ "op": "remove", "path": format!("members[value eq \"{id}\"]") }] });
    provider.refused(Method::PATCH, &format!("/Groups/{lunch}"), out, forbidden, None).await;
    let user = provider.create(json!({ "userName": "eve@example.com", "roles": [{ "value": "admin" }] })).await;
    assert!(user["roles"].is_null(), "{user}");
    let eve = format!("/Users/{}", user["id"].as_str().unwrap());
    let roles = json!({ "Operations": [{ "op": "add", "path": "roles", "value": [{ "value": "admin" }] }] });
    provider.refused(Method::PATCH, &eve, roles, bad, Some("mutability")).await;

    // Callers with fewer permissions, of another tenant, or without a token.
    let with = |token: String| Provider { world: &world, key: token };
    let viewer = with(world.token(&[Role::Viewer]));
    viewer.get(&eve).await;
    viewer.refused(Method::POST, "/Users", bjensen(), forbidden, None).await;
    viewer.refused(Method::DELETE, &eve, Value::Null, forbidden, None).await;
    viewer.refused(Method::POST, "/Groups", json!({ "displayName": "Eves" }), forbidden, None).await;
    let nobody = with(world.token(&[]));
    for path in ["/Users", "/Groups", &eve] {
        nobody.refused(Method::GET, path, Value::Null, forbidden, None).await;
        with("x".to_owned()).refused(Method::GET, path, Value::Null, StatusCode::UNAUTHORIZED, None).await;
    }
    // The challenge for a request without a token has no error (RFC 6750 section 3.1).
    let asked = || world.anonymous(Method::GET, "/scim/v2/Users");
    for (request, error) in [(asked(), ""), (asked().bearer_auth("x"), ", error=\"invalid_token\"")] {
        let answer = Answer::of(request).await;
        assert_eq!(answer.header("www-authenticate"), format!("Bearer realm=\"inopsio\"{error}"), "{answer:?}");
    }
    let stranger = with(world.stranger());
    stranger.refused(Method::GET, &eve, Value::Null, StatusCode::NOT_FOUND, None).await;
    stranger.refused(Method::DELETE, &eve, Value::Null, StatusCode::NOT_FOUND, None).await;
    assert_eq!(stranger.get("/Users").await.body["totalResults"], 0);
}

#[tokio::test]
async fn what_is_supported_is_found_by_asking() {
    let world = World::start().await;
    let provider = Provider::of(&world).await;
    let configuration = provider.get("/ServiceProviderConfig").await.body;
    for (feature, supported) in [("patch", true), ("filter", true), ("etag", true), ("bulk", false), ("sort", false)] {
        assert_eq!(configuration[feature]["supported"], supported, "{feature}");
    }
    let types = provider.get("/ResourceTypes").await.body;
    assert_eq!(types["totalResults"], 2);
    for resource_type in types["Resources"].as_array().unwrap() {
        let id = resource_type["id"].as_str().unwrap();
        assert_eq!(&provider.get(&format!("/ResourceTypes/{id}")).await.body, resource_type);
        let schema = provider.get(&format!("/Schemas/{}", resource_type["schema"].as_str().unwrap())).await.body;
        assert_eq!(schema["name"], resource_type["name"]);
        provider.get(resource_type["endpoint"].as_str().unwrap()).await;
    }
    // A user has exactly the attributes that the schema lists.
    let user = provider.create(bjensen()).await;
    let schema = provider.get(&format!("/Schemas/{USER}")).await.body;
    let named: Vec<_> = schema["attributes"].as_array().unwrap().iter().map(|one| one["name"].clone()).collect();
    for member in
        user.as_object().unwrap().keys().filter(|member| !["schemas", "id", "meta"].contains(&member.as_str()))
    {
        assert!(named.contains(&json!(member)), "{member} is in no schema");
    }
    provider.refused(Method::GET, "/Schemas/urn:nobody", Value::Null, StatusCode::NOT_FOUND, None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn through_a_gateway_a_provider_gets_the_very_answers_of_the_service() {
    let mut world = World::apart_from(user_api::SERVICE).await;
    let provider = Provider::of(&world).await;
    let user = provider.create(bjensen()).await;
    let (id, path) = (user["id"].as_str().unwrap(), format!("/Users/{}", user["id"].as_str().unwrap()));
    let there = user["meta"]["location"].as_str().unwrap();
    assert_eq!(
        there,
        format!("https://inopsio.example/scim/v2{path}"),
        "where people reach us, not where the service runs"
    );
    let group = json!({ "schemas": [GROUP], "displayName": "Guides", "members": [{ "value": id }] });
    assert_eq!(provider.ask(Method::POST, "/Groups", group).await.status, StatusCode::CREATED);
    let renamed = provider.patch(&path, json!([{ "op": "replace", "path": "title", "value": "Head Guide" }])).await;
    assert_eq!((renamed.status, &renamed.body["title"]), (StatusCode::OK, &json!("Head Guide")), "{renamed:?}");

    let direct = format!("http://{}", world.behind.as_ref().unwrap().addr());
    let ask = async |base: &str, method: &Method, path: &str, token: &str, body: &str| {
        let request = world.client.request(method.clone(), format!("{base}/scim/v2{path}"));
        let request = if token.is_empty() { request } else { request.bearer_auth(token) };
        let answer = Answer::of(request.header("content-type", "application/scim+json").body(body.to_owned())).await;
        let headers = ["content-type", "etag", "location", "www-authenticate", "allow"];
        let headers = headers.map(|name| answer.header(name).to_owned());
        let mut body = answer.body;
        if body.get("instance").is_some() {
            body["instance"] = Value::Null;
        }
        (answer.status, headers, body)
    };
    let (key, stranger, unable) = (provider.key.as_str(), world.stranger(), world.token(&[Role::Viewer]));
    let before = world.head().await;
    for (method, path, token, body, status) in [
        (Method::GET, path.as_str(), key, "", 200),
        (Method::GET, "/Users?filter=userName%20eq%20%22bjensen%22&count=1", key, "", 200),
        (Method::GET, "/Groups?filter=displayName%20eq%20%22Guides%22", key, "", 200),
        (Method::GET, "/ServiceProviderConfig", key, "", 200),
        (Method::GET, "/Schemas/urn:ietf:params:scim:schemas:core:2.0:User", key, "", 200),
        (Method::GET, path.as_str(), "", "", 401),
        (Method::GET, path.as_str(), "nonsense", "", 401),
        (Method::GET, path.as_str(), &stranger, "", 404),
        (Method::POST, "/Users", &unable, r#"{"userName":"eve@example.com"}"#, 403),
        (Method::POST, "/Users", key, r#"{"userName":"bjensen@example.com"}"#, 409),
        (Method::POST, "/Users", key, "{", 400),
        (Method::GET, "/Users?filter=nonsense", key, "", 400),
        (Method::PUT, "/Users/1", key, r#"{"userName":"eve@example.com"}"#, 404),
        (Method::PUT, "/Users", key, "{}", 405),
    ] {
        let through = ask(&world.url, &method, path, token, body).await;
        assert_eq!(through, ask(&direct, &method, path, token, body).await, "{method} {path} {body}");
        assert_eq!(through.0.as_u16(), status, "{method} {path} {body}: {through:?}");
    }
    assert_eq!(world.head().await, before, "something was written");

    let provider = Provider { world: &world, key: provider.key };
    provider.ask(Method::DELETE, &path, Value::Null).await;
    provider.refused(Method::GET, &path, Value::Null, StatusCode::NOT_FOUND, None).await;
    let (key, behind) = (provider.key, world.behind.take().unwrap());
    behind.shutdown().await;
    let provider = Provider { world: &world, key };
    let gone = provider.ask(Method::GET, &path, Value::Null).await;
    assert_eq!((gone.status, gone.header("retry-after")), (StatusCode::SERVICE_UNAVAILABLE, "1"), "{gone:?}");
    assert_eq!(
        gone.body["schemas"],
        json!(["urn:ietf:params:scim:api:messages:2.0:Error"]),
        "in SCIM's words: {gone:?}"
    );
    provider.refused(Method::POST, "/Users", bjensen(), StatusCode::SERVICE_UNAVAILABLE, None).await;
}

#[tokio::test]
async fn who_names_no_version_is_not_refused_for_what_somebody_else_changes_at_the_same_time() {
    let world = World::start().await;
    let provider = Provider::of(&world).await;
    let ada = provider.create(json!({ "userName": "ada@example.com" })).await;
    let path = format!("/Users/{}", ada["id"].as_str().unwrap());
    for round in 0..10 {
        let sets = |attribute: &str| {
            let value = format!("{attribute} {round}");
            provider.patch(&path, json!([{ "op": "replace", "path": attribute, "value": value }]))
        };
        let (one, other) = tokio::join!(sets("title"), sets("displayName"));
        assert_eq!((one.status, other.status), (StatusCode::OK, StatusCode::OK), "{one:?}, {other:?}");
    }
    let now = provider.get(&path).await.body;
    assert_eq!((&now["title"], &now["displayName"]), (&json!("title 9"), &json!("displayName 9")), "one was lost");
}
