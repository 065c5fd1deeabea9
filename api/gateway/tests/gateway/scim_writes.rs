//! SCIM 2.0 writes: a change is applied completely or refused, and reads return what was written.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::scim::{GROUP, Provider, USER, patch};
use crate::world::{Answer, World};

const NOBODY: &str = "0197a8a0-0000-7000-8000-000000000001";

/// The names and members of all groups.
async fn groups(provider: &Provider<'_>) -> Vec<(String, usize)> {
    let all = provider.get("/Groups").await.body["Resources"].take();
    let group =
        |one: &Value| (one["displayName"].as_str().unwrap().to_owned(), one["members"].as_array().map_or(0, Vec::len));
    all.as_array().unwrap().iter().map(group).collect()
}

#[tokio::test]
async fn a_group_is_written_whole_or_not_at_all() {
    let world = World::start().await;
    let provider = Provider::of(&world).await;
    let ada = provider.create(json!({ "userName": "ada@example.com" })).await;
    let (there, nobody) = (json!({ "value": ada["id"] }), json!({ "value": NOBODY }));
    let (bad, invalid) = (StatusCode::BAD_REQUEST, Some("invalidValue"));
    let both = json!({ "schemas": [GROUP], "displayName": "Sales", "members": [there, nobody] });
    provider.refused(Method::POST, "/Groups", both.clone(), bad, invalid).await;
    let said = provider.ask(Method::POST, "/Groups", both.clone()).await.body["detail"].take();
    assert_eq!(said, format!("members: there is no user {NOBODY} (reference_unknown)"), "by SCIM's name");
    assert!(groups(&provider).await.is_empty(), "the group is there all the same");
    let one = json!({ "schemas": [GROUP], "displayName": "Sales", "members": [there] });
    let made = provider.ask(Method::POST, "/Groups", one).await;
    assert_eq!(made.status, StatusCode::CREATED, "the name is free still: {made:?}");
    let path = format!("/Groups/{}", made.body["id"].as_str().unwrap());

    let rename = json!({ "op": "replace", "path": "displayName", "value": "Sellers" });
    let out = json!({ "op": "remove", "path": format!("members[value eq \"{}\"]", ada["id"].as_str().unwrap()) });
    let join = json!({ "op": "add", "path": "members", "value": [nobody] });
    provider.refused(Method::PATCH, &path, patch(json!([rename, join])), bad, invalid).await;
    provider.refused(Method::PATCH, &path, patch(json!([rename, out, join])), bad, invalid).await;
    let becomes = json!({ "displayName": "Sellers", "members": [nobody] });
    provider.refused(Method::PUT, &path, becomes, bad, invalid).await;
    // If the new name is taken by another group, the change of members in the same request is not applied either.
    let other = json!({ "schemas": [GROUP], "displayName": "Buyers" });
    assert_eq!(provider.ask(Method::POST, "/Groups", other).await.status, StatusCode::CREATED);
    let taken = json!({ "op": "replace", "path": "displayName", "value": "buyers" });
    let conflict = (StatusCode::CONFLICT, Some("uniqueness"));
    provider.refused(Method::PATCH, &path, patch(json!([out, taken])), conflict.0, conflict.1).await;
    assert_eq!(groups(&provider).await, [("Buyers".to_owned(), 0), ("Sales".to_owned(), 1)]);

    // Both changes are applied in one append.
    let done = provider.ask(Method::PATCH, &path, patch(json!([rename, out]))).await;
    assert_eq!((done.status, &done.body["displayName"]), (StatusCode::OK, &json!("Sellers")), "{done:?}");
    assert_eq!(groups(&provider).await, [("Buyers".to_owned(), 0), ("Sellers".to_owned(), 0)]);
}

#[tokio::test]
async fn hundreds_of_members_come_at_once_and_thousands_are_refused_before_anything_is_done() {
    let world = World::unlimited().await;
    let provider = Provider::of(&world).await;
    let mut members = Vec::new();
    for user in 0..201 {
        let made = provider.create(json!({ "userName": format!("user-{user}@example.com") })).await;
        members.push(json!({ "value": made["id"] }));
    }
    let made = json!({ "schemas": [GROUP], "displayName": "All", "members": members });
    let made = provider.ask(Method::POST, "/Groups", made).await;
    assert_eq!((made.status, made.body["members"].as_array().unwrap().len()), (StatusCode::CREATED, 201), "{made:?}");
    let path = format!("/Groups/{}", made.body["id"].as_str().unwrap());
    let id = |number: u32| json!({ "value": format!("0197a8a0-0000-7000-8000-{number:012}") });
    let many = json!({ "displayName": "All", "members": (0..1_001).map(id).collect::<Vec<_>>() });
    provider.refused(Method::PUT, &path, many, StatusCode::BAD_REQUEST, Some("tooMany")).await;
    let none = provider.ask(Method::PUT, &path, json!({ "displayName": "All" })).await;
    assert_eq!((none.status, &none.body["members"]), (StatusCode::OK, &json!([])), "{none:?}");
}

#[tokio::test]
async fn what_a_provider_writes_of_a_user_is_kept_or_refused() {
    let world = World::start().await;
    let provider = Provider::of(&world).await;
    let user = json!({ "schemas": [USER], "userName": "babs", "name": { "formatted": "Barbara Jensen" },
        "emails": [{ "value": "babs@example.com", "type": "work", "primary": true }] });
    let made = provider.create(user).await;
    let path = format!("/Users/{}", made["id"].as_str().unwrap());
    let done = async |operations: Value| {
        let answer = provider.patch(&path, operations).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        answer.body
    };
    let names = |user: &Value| (user["displayName"].clone(), user["name"]["formatted"].clone());
    let both = |name: &str| (json!(name), json!(name));
    // The displayed name is the formatted one, until another one is set.
    let now = done(json!([{ "op": "replace", "path": "name.formatted", "value": "Babs Jensen" }])).await;
    assert_eq!(names(&now), both("Babs Jensen"));
    let now = done(json!([{ "op": "replace", "value": { "name": { "formatted": "B. Jensen" } } }])).await;
    assert_eq!(names(&now), both("B. Jensen"));
    let now = done(json!([{ "op": "replace", "path": "displayName", "value": "Babs" }])).await;
    assert_eq!(names(&now), (json!("Babs"), json!("B. Jensen")));
    let now = done(json!([{ "op": "replace", "path": "name.formatted", "value": "Ms. B. Jensen" }])).await;
    assert_eq!(names(&now), (json!("Babs"), json!("Ms. B. Jensen")));
    let now = done(json!([{ "op": "replace", "value": { "name.formatted": "Less", "displayName": "More" } }])).await;
    assert_eq!(names(&now), (json!("More"), json!("Less")));

    // The primary address is kept, even if the former one is not removed explicitly.
    let email = |user: &Value| user["emails"][0]["value"].as_str().unwrap().to_owned();
    let new = json!([{ "value": "b@example.com", "type": "home", "primary": true }]);
    assert_eq!(email(&done(json!([{ "op": "add", "path": "emails", "value": new }])).await), "b@example.com");
    let new = json!({ "value": "c@example.com", "primary": true });
    let added = json!([{ "op": "add", "path": "emails[type eq \"other\"]", "value": new }]);
    assert_eq!(email(&done(added).await), "c@example.com");

    // If the user name is an e-mail address, it is the user's address: a different one beside it is refused, because one would be lost.
    let (bad, invalid) = (StatusCode::BAD_REQUEST, Some("invalidValue"));
    let two = json!({ "userName": "eve@example.com", "emails": [{ "value": "eve@example.org" }] });
    provider.refused(Method::POST, "/Users", two.clone(), bad, invalid).await;
    provider.refused(Method::PUT, &path, two, bad, invalid).await;
    let same = json!({ "userName": "Eve@Example.com", "emails": [{ "value": "eve@example.com" }] });
    assert_eq!(email(&provider.create(same).await), "eve@example.com");
    // But a deactivation is always applied, whatever else the request contains.
    let leaver = provider.create(json!({ "userName": "leaver@example.com" })).await;
    let at = format!("/Users/{}", leaver["id"].as_str().unwrap());
    let gone =
        json!({ "userName": "leaver@example.com", "emails": [{ "value": "leaver@example.org" }], "active": false });
    let gone = provider.ask(Method::PUT, &at, gone).await;
    assert_eq!((gone.status, &gone.body["active"]), (StatusCode::OK, &json!(false)), "{gone:?}");
    let now = done(json!([{ "op": "replace", "path": "userName", "value": "d@example.com" }])).await;
    let theirs = json!([{ "value": "d@example.com", "type": "other", "primary": true }]);
    assert_eq!((&now["userName"], &now["emails"]), (&json!("d@example.com"), &theirs), "what it is for stays");
    let other = json!([{ "op": "replace", "path": "emails[type eq \"other\"].value", "value": "e@example.com" }]);
    provider.refused(Method::PATCH, &path, patch(other), bad, invalid).await;
    let whole = json!([{ "op": "replace", "value": { "userName": "e@example.com", "emails": [{ "value": "e@example.com" }] } }]);
    assert_eq!(email(&done(whole).await), "e@example.com");
}

#[tokio::test]
async fn who_never_was_told_a_full_name_has_the_one_that_is_shown() {
    let world = World::start().await;
    let provider = Provider::of(&world).await;
    let made = provider.create(json!({ "userName": "babs@example.com", "displayName": "Babs" })).await;
    let path = format!("/Users/{}", made["id"].as_str().unwrap());
    let names = |user: &Value| [&user["displayName"], &user["name"]["formatted"]].map(Value::to_string);
    let both = |name: &str| [json!(name), json!(name)].map(|name| name.to_string());
    assert_eq!(names(&made), both("Babs"));
    assert_eq!(names(&provider.get("/Users").await.body["Resources"][0]), both("Babs"), "in the read model, too");
    // The address follows the user name, until one is set.
    let patched = async |path_of: &str, value: &str| {
        let answer = provider.patch(&path, json!([{ "op": "replace", "path": path_of, "value": value }])).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        answer.body
    };
    assert_eq!(names(&patched("title", "Weaver").await), both("Babs"));
    assert_eq!(names(&patched("displayName", "Barbara").await), both("Barbara"));
    assert_eq!(names(&patched("name.formatted", "Barbara Jensen").await), both("Barbara Jensen"));
    let now = patched("displayName", "B.").await;
    assert_eq!(names(&now), ["\"B.\"", "\"Barbara Jensen\""], "it was said");
    let removed = provider.patch(&path, json!([{ "op": "remove", "path": "name.formatted" }])).await.body;
    assert_eq!(names(&removed), ["\"B.\"", "null"], "what was taken back is not there");
}

#[tokio::test]
async fn what_is_no_text_is_refused_in_whatever_way_it_comes() {
    let world = World::start().await;
    let provider = Provider::of(&world).await;
    let made = provider.create(json!({ "userName": "ada@example.com" })).await;
    let path = format!("/Users/{}", made["id"].as_str().unwrap());
    let (bad, invalid) = (StatusCode::BAD_REQUEST, Some("invalidValue"));
    for (name, value) in [
        ("externalId", json!(7)),
        ("displayName", json!(["Ada"])),
        ("emails", json!([{ "value": "ada@example.com", "type": 7 }])),
        // A malformed value removes nothing.
        ("name", json!("Ada")),
        ("phoneNumbers", json!("+4930123456")),
        ("phoneNumbers", json!({ "value": "+4930123456" })),
        ("phoneNumbers", json!(["+4930123456"])),
        ("addresses", json!("12 St James's Square")),
        ("addresses", json!({ "locality": "London" })),
        ("addresses", json!([{ "locality": 7 }])),
    ] {
        let operations = patch(json!([{ "op": "replace", "path": name, "value": value }]));
        provider.refused(Method::PATCH, &path, operations, bad, invalid).await;
        let mut user = json!({ "userName": "ada@example.com" });
        user[name] = value;
        provider.refused(Method::PUT, &path, user.clone(), bad, invalid).await;
        user["userName"] = json!("grace@example.com");
        if name == "emails" {
            user[name][0]["value"] = json!("grace@example.com");
        }
        provider.refused(Method::POST, "/Users", user, bad, invalid).await;
    }
    let group = json!({ "schemas": [GROUP], "displayName": "Sales", "externalId": 7 });
    provider.refused(Method::POST, "/Groups", group, bad, invalid).await;
    // Null means absent (RFC 7643 section 2.5).
    let same = json!({ "userName": "ada@example.com", "externalId": null });
    assert_eq!(provider.ask(Method::PUT, &path, same).await.status, StatusCode::OK);
}

#[tokio::test]
async fn attack_140_what_takes_the_longer_the_more_there_is_of_it_is_not_begun() {
    let world = World::start().await;
    let provider = Provider::of(&world).await;
    let made = provider.create(json!({ "userName": "ada@example.com" })).await;
    let path = format!("/Users/{}", made["id"].as_str().unwrap());
    let (bad, many) = (StatusCode::BAD_REQUEST, Some("tooMany"));
    let numbers: Vec<u32> = (0..100_000).collect();
    let add = |value: Value| json!({ "op": "add", "path": "emails", "value": value });
    provider.refused(Method::PATCH, &path, patch(json!([add(json!(numbers))])), bad, many).await;
    // Nor in many small operations.
    let hundred = |from: u32| add((from..from + 100).map(|number| json!(number)).collect());
    let little: Value = (0..500).map(|turn| hundred(turn * 100)).collect();
    provider.refused(Method::PATCH, &path, patch(little), bad, many).await;
    let before = world.head_of(world.of("auth")).await;
    let uris: Vec<String> = (0..30_000).map(|number| format!("https://a.example/{number}")).collect();
    let client = json!({ "name": "App", "confidential": true, "redirect_uris": uris });
    let refused = world.post("/v1/auth/clients", client).await;
    assert_eq!((refused.status, refused.code()), (bad, "validation_failed"));
    assert_eq!(world.head_of(world.of("auth")).await, before, "something was written");
}

#[tokio::test]
async fn an_address_and_a_number_are_called_what_the_provider_calls_them() {
    let world = World::start().await;
    let provider = Provider::of(&world).await;
    let made = provider
        .create(json!({ "schemas": [USER], "userName": "babs", "displayName": "Babs",
            "name": { "formatted": "Ms. Barbara J Jensen, III", "givenName": "Barbara" },
            "emails": [{ "value": "babs@example.com", "type": "home", "primary": false }],
            "phoneNumbers": [{ "value": "+4930123456", "type": "mobile" }] }))
        .await;
    let path = format!("/Users/{}", made["id"].as_str().unwrap());
    let email =
        |purpose: &str, primary: bool| json!([{ "value": "babs@example.com", "type": purpose, "primary": primary }]);
    assert_eq!(made["emails"], email("home", false), "{made}");
    assert_eq!(made["phoneNumbers"], json!([{ "value": "+4930123456", "type": "mobile", "primary": true }]), "{made}");
    assert_eq!(
        (&made["displayName"], &made["name"]["formatted"]),
        (&json!("Babs"), &json!("Ms. Barbara J Jensen, III"))
    );
    // Users can see what the provider has stored about them.
    let own = world.token_of_user(made["id"].as_str().unwrap());
    let own = Answer::of(world.anonymous(Method::GET, "/v1/user/me/export").bearer_auth(own)).await;
    let labels = json!({ "formatted_name": "Ms. Barbara J Jensen, III", "email": { "purpose": "home", "primary": false },
        "phone": { "purpose": "mobile" }, "address": {} });
    assert_eq!((own.status, &own.body["labels"]), (StatusCode::OK, &labels), "{own:?}");
    // The single read is from the log, the list is from the read models.
    assert_eq!(provider.get("/Users").await.body["Resources"][0], provider.get(&path).await.body);
    assert_eq!(provider.found("emails[type eq \"home\" and primary eq false]").await, ["babs"]);
    assert_eq!(provider.found("emails.type eq \"work\"").await, [""; 0]);

    let primary = json!([{ "op": "replace", "path": "emails[type eq \"home\"].primary", "value": true }]);
    assert_eq!(provider.patch(&path, primary).await.body["emails"], email("home", true));
    let unnamed = provider.patch(&path, json!([{ "op": "remove", "path": "name" }])).await.body;
    assert_eq!((&unnamed["name"], &unnamed["displayName"]), (&Value::Null, &json!("Babs")), "{unnamed}");
    let long = json!({ "userName": "babs", "emails": [{ "value": "babs@example.com", "type": "x".repeat(51) }] });
    provider.refused(Method::PUT, &path, long, StatusCode::BAD_REQUEST, Some("invalidValue")).await;
    // Missing attributes get their defaults.
    let plain = json!({ "userName": "babs", "emails": [{ "value": "babs@example.com" }] });
    let plain = provider.ask(Method::PUT, &path, plain).await;
    assert_eq!((plain.status, &plain.body["emails"]), (StatusCode::OK, &email("work", true)), "{plain:?}");
    let etag = plain.header("etag").to_owned();
    let usual = json!({ "userName": "babs", "emails": email("work", true) });
    assert_eq!(provider.ask(Method::PUT, &path, usual).await.header("etag"), etag, "the same, said at length");
}

#[tokio::test]
async fn a_group_is_known_by_the_id_that_the_provider_says_for_as_long_as_it_says_it() {
    use sqlx::Connection;
    let world = World::start().await;
    let provider = Provider::of(&world).await;
    let post = async |name: &str, id: Value| {
        let group = json!({ "schemas": [GROUP], "displayName": name, "externalId": id });
        provider.ask(Method::POST, "/Groups", group).await
    };
    let made = post("Sales", json!("Ab7")).await;
    assert_eq!((made.status, &made.body["externalId"]), (StatusCode::CREATED, &json!("Ab7")), "{made:?}");
    // The external id belongs to the provider: two groups may have the same (RFC 7643 section 3.1).
    assert_eq!(post("Buyers", json!("Ab7")).await.status, StatusCode::CREATED);
    let found = async |filter: &str| {
        let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("filter", filter).finish();
        let list = provider.get(&format!("/Groups?{query}")).await.body;
        let name = |one: &Value| one["displayName"].as_str().unwrap().to_owned();
        list["Resources"].as_array().unwrap().iter().map(name).collect::<Vec<_>>()
    };
    assert_eq!(found("externalId eq \"Ab7\"").await, ["Buyers", "Sales"]);
    assert_eq!(found("externalId eq \"ab7\"").await, [""; 0], "in this case, and no other");

    let id = made.body["id"].as_str().unwrap();
    let path = format!("/Groups/{id}");
    let known = async |operation: Value| {
        let answer = provider.patch(&path, json!([operation])).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        assert_eq!(provider.get(&path).await.body, answer.body);
        (answer.body["externalId"].clone(), answer.header("etag").to_owned())
    };
    let other = json!({ "op": "replace", "path": "externalId", "value": "b8" });
    assert_eq!(known(other.clone()).await, (json!("b8"), "W/\"3\"".to_owned()));
    assert_eq!(known(other).await, (json!("b8"), "W/\"3\"".to_owned()), "the same again changes nothing");
    assert_eq!(known(json!({ "op": "remove", "path": "externalId" })).await.0, Value::Null);
    let whole = async |body: Value| provider.ask(Method::PUT, &path, body).await.body["externalId"].take();
    assert_eq!(whole(json!({ "displayName": "Sales", "externalId": "c9" })).await, "c9");
    assert_eq!(whole(json!({ "displayName": "Sales" })).await, Value::Null, "what a PUT does not say is not there");
    let (bad, invalid) = (StatusCode::BAD_REQUEST, Some("invalidValue"));
    let long = json!({ "displayName": "Sales", "externalId": "x".repeat(201) });
    provider.refused(Method::PUT, &path, long.clone(), bad, invalid).await;
    let detail = provider.ask(Method::PUT, &path, long).await.body["detail"].take();
    assert!(detail.as_str().unwrap().starts_with("externalId: "), "{detail}");
    let number = patch(json!([{ "op": "replace", "path": "externalId", "value": 7 }]));
    provider.refused(Method::PATCH, &path, number, bad, invalid).await;

    // With more groups than a search without an index would read, they are still listed in pages, and found by what has an index.
    let mut tables = sqlx::PgConnection::connect_with(&world.of("user").superuser()).await.unwrap();
    sqlx::query(
        "INSERT INTO \"user\".user_group
         SELECT (jsonb_populate_record(g, jsonb_build_object('group_id', gen_random_uuid(), 'name', 'Copy ' || n))).*
         FROM \"user\".user_group g, generate_series(1, 1000) n WHERE g.group_id = $1::uuid",
    )
    .bind(id)
    .execute(&mut tables)
    .await
    .unwrap();
    let last = provider.get("/Groups?startIndex=1001&count=5").await.body;
    let of_page = ["totalResults", "startIndex", "itemsPerPage"].map(|name| last[name].as_i64().unwrap());
    assert_eq!((of_page, &last["Resources"][1]["displayName"]), ([1_002, 1_001, 2], &json!("Sales")), "{last}");
    let begins = "/Groups?filter=displayName%20sw%20%22C%22";
    provider.refused(Method::GET, begins, Value::Null, bad, Some("tooMany")).await;
    assert_eq!(found("externalId eq \"Ab7\"").await, ["Buyers"]);
    let ada = provider.create(json!({ "userName": "ada@example.com" })).await["id"].take();
    let ada = ada.as_str().unwrap();
    assert_eq!(found(&format!("id eq \"{id}\"")).await, ["Sales"]);
    assert_eq!(found(&format!("id eq \"{id}\" and members eq \"{ada}\"")).await, [""; 0]);
    provider.patch(&path, json!([{ "op": "add", "path": "members", "value": [{ "value": ada }] }])).await;
    assert_eq!(found(&format!("id eq \"{id}\" and members eq \"{ada}\"")).await, ["Sales"]);
    assert_eq!(found(&format!("members[value eq \"{ada}\"]")).await, ["Sales"]);
}

#[tokio::test]
async fn what_is_not_there_is_said_in_scims_words() {
    let world = World::start().await;
    let provider = Provider::of(&world).await;
    // Attributes of other schemas are ignored, like those that we do not store.
    let enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
    let mut user = json!({ "userName": "ada@example.com", "title": "Countess", "phoneNumbers": [{ "value": "tel:+1-201-555-0123" }],
        "preferredLanguage": "da, en-gb;q=0.8" });
    user[enterprise] = json!({ "department": "Engines", "title": "x" });
    let made = provider.create(user).await;
    let path = format!("/Users/{}", made["id"].as_str().unwrap());
    let department = json!([
        { "op": "add", "path": format!("{enterprise}:department"), "value": "Looms" },
        { "op": "add", "path": format!("{enterprise}:title"), "value": "Weaver" },
        { "op": "replace", "value": { enterprise: { "title": "Weaver" } } },
    ]);
    let patched = provider.patch(&path, department).await;
    assert_eq!((patched.status, &patched.body["title"]), (StatusCode::OK, &json!("Countess")), "{patched:?}");
    assert_eq!((&made["phoneNumbers"][0]["value"], &made["locale"]), (&json!("+12015550123"), &json!("da")), "{made}");

    let (gone, not_allowed) = (StatusCode::NOT_FOUND, StatusCode::METHOD_NOT_ALLOWED);
    for path in ["/Robots", "/Users/1/2/3", "/Bulk"] {
        provider.refused(Method::GET, path, Value::Null, gone, None).await;
    }
    provider.refused(Method::PUT, "/Users", json!({ "userName": "eve@example.com" }), not_allowed, None).await;
    let allowed = provider.ask(Method::PUT, "/Users", json!({})).await;
    assert_eq!(allowed.header("allow"), "GET, HEAD, POST", "{allowed:?}");
    let nul = provider.filtered("userName eq \"a\\u0000b\"").await;
    assert_eq!((nul.status, &nul.body["scimType"]), (StatusCode::BAD_REQUEST, &json!("invalidFilter")), "{nul:?}");
}

#[tokio::test]
async fn who_changed_since_is_found_by_the_moment_however_it_is_written() {
    let world = World::start().await;
    let provider = Provider::of(&world).await;
    let ada = provider.create(json!({ "userName": "ada@example.com" })).await;
    let changed: chrono::DateTime<chrono::Utc> = ada["meta"]["lastModified"].as_str().unwrap().parse().unwrap();
    let whole = chrono::SubsecRound::trunc_subsecs(changed, 0);
    let berlin = whole.with_timezone(&chrono::FixedOffset::east_opt(7_200).unwrap());
    let seconds = whole.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    for text in [seconds.clone(), berlin.to_rfc3339()] {
        assert_eq!(provider.found(&format!("meta.lastModified ge \"{text}\"")).await, ["ada@example.com"], "{text}");
        assert_eq!(provider.found(&format!("meta.lastModified lt \"{text}\"")).await, [""; 0], "{text}");
    }
    for filter in ["active gt true", "active le false", "meta.lastModified ge \"yesterday\""] {
        let refused = provider.filtered(filter).await;
        let said = (refused.status, &refused.body["scimType"]);
        assert_eq!(said, (StatusCode::BAD_REQUEST, &json!("invalidFilter")), "{filter}: {refused:?}");
    }
}

#[tokio::test]
async fn each_operation_shows_the_attributes_that_are_asked_for_and_no_others() {
    let world = World::start().await;
    let provider = Provider::of(&world).await;
    let user = |name: &str| {
        json!({ "userName": name, "name": { "givenName": "A", "familyName": "B" },
            "emails": [{ "value": format!("{name}@example.com") }] })
    };
    let part = "attributes=urn:ietf:params:scim:schemas:core:2.0:User:name.givenName,emails.value";
    let is_part = |shown: &Value, name: &str| {
        assert_eq!(shown["name"], json!({ "givenName": "A" }), "{shown}");
        assert_eq!(shown["emails"], json!([{ "value": format!("{name}@example.com") }]), "{shown}");
        assert!(shown["userName"].is_null() && shown["id"].is_string(), "{shown}");
    };
    let made = provider.ask(Method::POST, &format!("/Users?{part}"), user("ada")).await;
    assert_eq!(made.status, StatusCode::CREATED);
    is_part(&made.body, "ada");
    assert!(made.header("location").ends_with(made.body["id"].as_str().unwrap()), "{made:?}");
    let path = format!("/Users/{}", made.body["id"].as_str().unwrap());
    is_part(&provider.get(&format!("{path}?{part}")).await.body, "ada");
    is_part(&provider.ask(Method::PUT, &format!("{path}?{part}"), user("ada")).await.body, "ada");
    is_part(&provider.patch(&format!("{path}?{part}"), json!([])).await.body, "ada");
    is_part(&provider.get(&format!("/Users?{part}")).await.body["Resources"][0], "ada");
    let without = "excludedAttributes=urn:ietf:params:scim:schemas:core:2.0:User:emails,name.familyName,meta";
    let left = provider.get(&format!("{path}?{without}")).await;
    let (name, shown) = (&left.body["name"], &left.body);
    assert!(name["givenName"] == "A" && name["familyName"].is_null(), "{shown}");
    assert!(shown["emails"].is_null() && shown["meta"].is_null() && shown["userName"] == "ada", "{shown}");
    assert!(left.header("location").ends_with(&path), "{left:?}");

    let group = json!({ "displayName": "Sales", "members": [{ "value": made.body["id"] }] });
    let bare = provider.ask(Method::POST, "/Groups?excludedAttributes=members", group).await;
    assert!(bare.status == StatusCode::CREATED && bare.body["members"].is_null(), "{bare:?}");
    let at = format!("/Groups/{}", bare.body["id"].as_str().unwrap());
    for path in [at.as_str(), "/Groups"] {
        let shown = provider.get(&format!("{path}?attributes=members.value")).await.body;
        let group = shown["Resources"].get(0).unwrap_or(&shown);
        assert_eq!(group["members"], json!([{ "value": made.body["id"] }]), "{path}: {shown}");
        assert!(group["displayName"].is_null(), "{path}: {shown}");
    }
}

#[tokio::test]
async fn users_and_groups_are_searched_by_a_body_alone_and_together_and_me_is_who_asks() {
    let world = World::start().await;
    let provider = Provider::of(&world).await;
    let ids = provider.create_named(&["ada", "grace"]).await;
    for name in ["Buyers", "Sellers"] {
        let group = json!({ "displayName": name, "members": [{ "value": ids[0] }] });
        assert_eq!(provider.ask(Method::POST, "/Groups", group).await.status, StatusCode::CREATED);
    }
    let search = async |path: &str, more: Value| {
        let mut body = json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"] });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let answer = provider.ask(Method::POST, &format!("{path}/.search"), body).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        let page = answer.body["Resources"].as_array().unwrap().iter();
        let names: Vec<_> = page.map(|one| one["displayName"].as_str().unwrap_or("?").to_owned()).collect();
        (answer.body["totalResults"].as_u64().unwrap(), names)
    };
    assert_eq!(search("/Groups", json!({ "filter": "displayName sw \"S\"" })).await, (1, vec!["Sellers".to_owned()]));
    assert_eq!(search("", json!({})).await, (4, ["ada", "grace", "Buyers", "Sellers"].map(str::to_owned).into()));
    let some = json!({ "startIndex": 2, "count": 2 });
    assert_eq!(search("", some).await, (4, ["grace", "Buyers"].map(str::to_owned).into()));
    assert_eq!(search("", json!({ "startIndex": 4, "count": 2 })).await, (4, vec!["Sellers".to_owned()]));
    assert_eq!(search("", json!({ "count": 0 })).await, (4, vec![]));
    let either =
        json!({ "filter": "displayName eq \"ada\" or meta.resourceType eq \"Group\"", "attributes": ["displayName"] });
    assert_eq!(search("", either).await, (3, ["ada", "Buyers", "Sellers"].map(str::to_owned).into()));
    let whole = provider.ask(Method::POST, "/.search", json!({ "filter": "displayName eq \"Sellers\"" })).await;
    assert_eq!(whole.body["Resources"][0]["members"][0]["value"], ids[0], "{whole:?}");
    for wrong in [json!({ "filter": 7 }), json!({ "attributes": "displayName" }), json!({ "excludedAttributes": [7] })]
    {
        provider.refused(Method::POST, "/Users/.search", wrong, StatusCode::BAD_REQUEST, Some("invalidValue")).await;
    }
    let blind = world.token(&[]);
    let refused = world.anonymous(Method::POST, "/scim/v2/.search").bearer_auth(blind).json(&json!({}));
    assert_eq!(Answer::of(refused).await.status, StatusCode::FORBIDDEN);

    // A machine is not a user. Users with the permission to read users see themselves.
    let nobody = StatusCode::NOT_FOUND;
    provider.refused(Method::GET, "/Me", Value::Null, nobody, None).await;
    provider.refused(Method::POST, "/Me", json!({}), StatusCode::NOT_IMPLEMENTED, None).await;
    let id = &*ids[0];
    let granted = world.post(&format!("/v1/user/users/{id}/grant-role"), json!({ "role": "admin" })).await;
    assert_eq!(granted.status, StatusCode::OK, "{granted:?}");
    let me = || world.anonymous(Method::GET, "/scim/v2/Me").bearer_auth(world.token_of_user(id));
    let me = testbed::eventually("who asks may see users", async || {
        let answer = Answer::of(me()).await;
        (answer.status == StatusCode::OK).then_some(answer)
    })
    .await;
    assert_eq!((&me.body["id"], &me.body["userName"]), (&json!(id), &json!("ada@example.com")), "{me:?}");
    assert!(me.header("location").ends_with(&format!("/Users/{id}")), "{me:?}");
}
