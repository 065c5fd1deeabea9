//! Postal addresses of users: set by themselves, by an administrator, and by an identity provider.

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

use crate::issuers::claims;
use crate::scim::{Provider, USER, patch};
use crate::sign_in::{self, App};
use crate::users::{ask, member};
use crate::world::{Answer, World};

const BAD: StatusCode = StatusCode::BAD_REQUEST;

/// Sets a user's own postal address.
fn moves(world: &World, token: &str, address: &Value) -> RequestBuilder {
    let body = json!({ "name": "Ada", "address": address });
    world.anonymous(Method::POST, "/v1/user/me/change-profile").bearer_auth(token).json(&body)
}

/// What GraphQL returns, once the read models have reached the position of `done`.
async fn seen(world: &World, done: &Answer, id: &str) -> Value {
    assert_eq!(done.status, StatusCode::OK, "{done:?}");
    let fields = format!("user(id: \"{id}\") {{ address {{ street locality region postalCode country }} }}");
    ask(world, done, &fields).await["user"]["address"].take()
}

#[tokio::test]
async fn a_user_says_where_post_reaches_them_and_so_does_whoever_looks_after_them() {
    let world = World::start().await;
    let (id, ada) = member(&world, "ada").await;
    let sent = json!({ "street": " 12 St James's Square\r\nFlat 3", "locality": "London", "postal_code": "SW1Y 4JH", "country": "gb" });
    let said = Answer::of(moves(&world, &ada, &sent)).await;
    let shown = seen(&world, &said, &id).await;
    let kept = json!({ "street": "12 St James's Square\nFlat 3", "locality": "London", "postal_code": "SW1Y 4JH", "country": "GB" });
    let expected = json!({ "street": kept["street"], "locality": "London", "region": null, "postalCode": "SW1Y 4JH", "country": "GB" });
    assert_eq!(shown, expected);
    let own = async |path: &str| {
        let answer = Answer::of(world.anonymous(Method::GET, path).bearer_auth(&ada)).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        answer.body
    };
    assert_eq!(own("/v1/user/me").await["profile"]["address"], kept);
    let exported = own("/v1/user/me/export").await;
    assert_eq!(exported["user"]["profile"]["address"], kept, "{exported}");
    let history = exported["history"].as_array().unwrap();
    let told = history.iter().find(|told| told["event"] == "user.user.profile_changed").unwrap();
    assert_eq!(told["data"]["profile"]["address"], kept, "{exported}");

    let before = world.head_of(world.of("user")).await;
    for (address, pointer, code) in [
        (json!({}), "/address", "empty"),
        (json!("London"), "/address", "wrong_type"),
        (json!({ "city": "London" }), "/address/city", "unknown_field"),
        (json!({ "locality": 7 }), "/address/locality", "wrong_type"),
        (json!({ "locality": " " }), "/address/locality", "empty"),
        (json!({ "street": "x".repeat(301) }), "/address/street", "length"),
        (json!({ "region": "Surrey\nSurrey" }), "/address/region", "control_character"),
        (json!({ "postal_code": "1".repeat(21) }), "/address/postal_code", "length"),
        (json!({ "country": "England" }), "/address/country", "country"),
    ] {
        let refused = Answer::of(moves(&world, &ada, &address)).await;
        assert_eq!((refused.status, refused.code()), (BAD, "validation_failed"), "{address}: {refused:?}");
        refused.assert_problem();
        let error = &refused.body["errors"][0];
        assert_eq!((&error["pointer"], &error["code"]), (&json!(pointer), &json!(code)), "{address}: {refused:?}");
    }
    assert_eq!(world.head_of(world.of("user")).await, before, "something was written");

    let path = format!("/v1/user/users/{id}/change-profile");
    let moved = world.post(&path, json!({ "name": "Ada", "address": { "locality": "Ockham" } })).await;
    let ockham = seen(&world, &moved, &id).await;
    assert_eq!((&ockham["locality"], &ockham["street"]), (&json!("Ockham"), &Value::Null));
    let gone = world.post(&path, json!({ "name": "Ada" })).await;
    assert_eq!(seen(&world, &gone, &id).await, Value::Null, "what is left out is gone");
}

#[tokio::test]
async fn an_application_is_told_where_post_reaches_a_user_who_lets_it_know() {
    let world = sign_in::world().await;
    let mut browser = sign_in::invited(&world, "ada@example.com", &["member"]).await;
    let app = App::register(&world).await;
    let tokens = app.tokens(&world, &mut browser).await;
    let access = tokens["access_token"].as_str().unwrap();
    let id = claims(access)["sub"].as_str().unwrap().to_owned();
    let said = json!({ "street": "12 St James's Square", "postal_code": "SW1Y 4JH", "country": "GB" });
    let said = Answer::of(moves(&world, access, &said)).await;
    assert_eq!(seen(&world, &said, &id).await["country"], "GB");
    for (scope, address) in [
        ("openid profile", Value::Null),
        (
            "openid address",
            json!({ "street_address": "12 St James's Square", "postal_code": "SW1Y 4JH", "country": "GB" }),
        ),
    ] {
        let tokens = app.tokens_for(&world, &mut browser, scope).await;
        let access = tokens["access_token"].as_str().unwrap();
        let told = Answer::of(world.anonymous(Method::GET, "/t/acme/userinfo").bearer_auth(access)).await;
        assert_eq!((told.status, &told.body["address"]), (StatusCode::OK, &address), "{scope}: {told:?}");
        assert_eq!(claims(tokens["id_token"].as_str().unwrap())["address"], address, "{scope}");
    }
}

#[tokio::test]
async fn a_provider_says_where_post_reaches_a_user_and_how_that_is_written_out() {
    let world = World::start().await;
    let provider = Provider::of(&world).await;
    let user = |addresses: Value| json!({ "schemas": [USER], "userName": "ada@example.com", "addresses": addresses });
    let mut home = json!({ "type": "home", "primary": false, "formatted": "Ada's house,\nSt James's Square",
        "streetAddress": "12 St James's Square", "locality": "London", "postalCode": "SW1Y 4JH", "country": "gb" });
    let made = provider.create(user(json!([home]))).await;
    let (id, path) = (made["id"].as_str().unwrap(), format!("/Users/{}", made["id"].as_str().unwrap()));
    home["country"] = "GB".into();
    assert_eq!(made["addresses"], json!([home]));
    // The single read is from the log, the list is from the read models.
    assert_eq!(provider.get("/Users").await.body["Resources"][0], provider.get(&path).await.body);
    for (filter, is_found) in [
        ("addresses.country eq \"gb\"", true),
        ("addresses[type eq \"home\" and locality sw \"Lon\"]", true),
        ("addresses.postalCode pr and addresses.primary eq false", true),
        ("addresses.formatted co \"house\"", true),
        ("addresses[type eq \"work\"]", false),
        ("addresses.region pr", false),
    ] {
        let expected: &[&str] = if is_found { &["ada@example.com"] } else { &[] };
        assert_eq!(provider.found(filter).await, expected, "{filter}");
    }
    let some = provider.get(&format!("{path}?attributes=addresses.locality")).await.body;
    assert_eq!(some["addresses"], json!([{ "locality": "London" }]), "{some}");
    let etag = provider.get(&path).await.header("etag").to_owned();
    let again = provider.ask(Method::PUT, &path, user(json!([home]))).await;
    assert_eq!((again.status, again.header("etag")), (StatusCode::OK, &*etag), "the same again changes nothing");

    let patched = async |operation: Value| {
        let patched = provider.patch(&path, json!([operation])).await;
        assert_eq!(patched.status, StatusCode::OK, "{patched:?}");
        assert_eq!(provider.get("/Users").await.body["Resources"][0], patched.body);
        patched.body["addresses"].clone()
    };
    home["streetAddress"] = "13 St James's Square".into();
    let street = "addresses[type eq \"home\"].streetAddress";
    let street = patched(json!({ "op": "replace", "path": street, "value": home["streetAddress"] })).await;
    assert_eq!(street, json!([home]), "how it is written out is the provider's to say");
    // Of several addresses only one is kept, as with e-mail addresses and numbers.
    let work = json!({ "type": "work", "locality": "Ockham", "primary": true });
    assert_eq!(patched(json!({ "op": "add", "path": "addresses", "value": [work] })).await, json!([work]));
    let written = json!({ "type": "work", "formatted": "Ockham Park, Surrey", "primary": true });
    assert_eq!(patched(json!({ "op": "replace", "path": "addresses", "value": [written] })).await, json!([written]));
    let own = world.token_of_user(id);
    let export = Answer::of(world.anonymous(Method::GET, "/v1/user/me/export").bearer_auth(&own)).await;
    assert_eq!(export.body["labels"]["formatted_address"], "Ockham Park, Surrey", "{export:?}");
    assert_eq!(export.body["user"]["profile"]["address"], Value::Null, "{export:?}");

    // When users change their own address, the formatted text of the former one is dropped.
    let moved = Answer::of(moves(&world, &own, &json!({ "locality": "London" }))).await;
    assert_eq!(seen(&world, &moved, id).await["locality"], "London");
    let london = json!([{ "type": "work", "locality": "London", "primary": true }]);
    assert_eq!(provider.get(&path).await.body["addresses"], london);
    assert_eq!(provider.get("/Users").await.body["Resources"][0]["addresses"], london);
    assert_eq!(patched(json!({ "op": "remove", "path": "addresses" })).await, Value::Null);
}

#[tokio::test]
async fn an_address_that_is_none_is_refused_in_scims_words() {
    let world = World::start().await;
    let provider = Provider::of(&world).await;
    let made = provider.create(json!({ "schemas": [USER], "userName": "ada@example.com" })).await;
    let path = format!("/Users/{}", made["id"].as_str().unwrap());
    let long = |length: usize| "x".repeat(length);
    for (address, name) in [
        (json!({ "country": "England" }), "addresses.country"),
        (json!({ "streetAddress": long(301) }), "addresses.streetAddress"),
        (json!({ "locality": long(101) }), "addresses.locality"),
        (json!({ "region": "Surrey\u{7}" }), "addresses.region"),
        (json!({ "postalCode": long(21) }), "addresses.postalCode"),
        (json!({ "formatted": long(1_001) }), "addresses.formatted"),
        (json!({ "locality": "London", "type": long(51) }), "addresses.type"),
    ] {
        let user = json!({ "userName": "ada@example.com", "addresses": [address] });
        provider.refused(Method::PUT, &path, user.clone(), BAD, Some("invalidValue")).await;
        let detail = provider.ask(Method::PUT, &path, user).await.body["detail"].take();
        assert!(detail.as_str().unwrap().starts_with(&format!("{name}: ")), "{detail}");
        let operation = json!({ "op": "add", "path": "addresses", "value": [address] });
        provider.refused(Method::PATCH, &path, patch(json!([operation])), BAD, Some("invalidValue")).await;
        let grace = json!({ "schemas": [USER], "userName": "grace@example.com", "addresses": [address] });
        provider.refused(Method::POST, "/Users", grace, BAD, Some("invalidValue")).await;
    }
    assert_eq!(provider.get(&path).await.body["addresses"], Value::Null);
    // Refused: changing an address that does not exist, an invalid path, and two addresses of the same type.
    for (path_of, scim_type) in
        [("addresses[type eq \"home\"].locality", "noTarget"), ("addresses[type eq", "invalidPath")]
    {
        let replace = patch(json!([{ "op": "replace", "path": path_of, "value": "London" }]));
        provider.refused(Method::PATCH, &path, replace, BAD, Some(scim_type)).await;
    }
    let twice = json!({ "userName": "ada@example.com", "addresses": [{ "locality": "London", "Locality": "Ockham" }] });
    provider.refused(Method::PUT, &path, twice, BAD, Some("invalidSyntax")).await;
    // An invalid part of one address does not damage the stored one.
    let home = json!([{ "type": "home", "locality": "London", "country": "GB", "primary": true }]);
    let kept = provider.patch(&path, json!([{ "op": "add", "path": "addresses", "value": home }])).await;
    assert_eq!((kept.status, &kept.body["addresses"]), (StatusCode::OK, &home), "{kept:?}");
    let parts = json!({ "locality": "Ockham", "country": "England" });
    for (path_of, value) in [
        ("addresses[type eq \"home\"].country", json!("England")),
        ("addresses[type eq \"home\"]", parts),
        ("addresses.postalCode", json!("x".repeat(21))),
        ("addresses", json!("London")),
    ] {
        let replace = patch(json!([{ "op": "replace", "path": path_of, "value": value }]));
        provider.refused(Method::PATCH, &path, replace, BAD, Some("invalidValue")).await;
    }
    assert_eq!(provider.get(&path).await.body["addresses"], home);
    let said = provider.get(&format!("/Schemas/{USER}")).await.body;
    let addresses = said["attributes"].as_array().unwrap().iter().find(|one| one["name"] == "addresses").unwrap();
    let parts = addresses["subAttributes"].as_array().unwrap().iter();
    let parts: Vec<_> = parts.map(|part| part["name"].as_str().unwrap()).collect();
    let expected = ["formatted", "streetAddress", "locality", "region", "postalCode", "country", "type", "primary"];
    assert_eq!((&addresses["multiValued"], parts), (&json!(true), expected.to_vec()));
}
