//! The claims about a user that need a scope: telephone number, picture and postal address.

use face::People;
use reqwest::StatusCode;
use serde_json::json;
use testbed::Browser;

use crate::world::{PASSWORD, Visits, World, claims, json};

#[tokio::test]
async fn a_telephone_number_is_for_who_may_see_it_and_is_said_to_be_shown_or_not() {
    let world = World::start().await;
    let ada = world.person("ada@example.com").await;
    let app = world.client(true).await;
    let shown = async |scope: &str| {
        let mut browser = Browser::default();
        let asks = app.asks(&[("scope", scope)]);
        let tokens = json(
            app.redeems(&world, &browser.signs_in(&world, &asks, "ada@example.com", PASSWORD).await.code(), &[]),
            StatusCode::OK,
        )
        .await;
        let info = world.get("userinfo").bearer_auth(tokens["access_token"].as_str().unwrap());
        let (id, info) = (claims(tokens["id_token"].as_str().unwrap()), json(info, StatusCode::OK).await);
        for claim in ["phone_number", "phone_number_verified"] {
            assert_eq!(id[claim], info[claim], "{claim}: {id} {info}");
        }
        (info["phone_number"].clone(), info["phone_number_verified"].clone())
    };
    assert_eq!(shown("openid profile email").await, (json!(null), json!(null)));
    assert_eq!(shown("openid phone").await, (json!("+4930123456"), json!(true)));
    let person = world.people.by_id(world.tenant.id, ada).await.unwrap().unwrap();
    world.people.put(world.tenant.id, face::Person { phone_verified: false, ..person.clone() });
    assert_eq!(shown("openid phone").await, (json!("+4930123456"), json!(false)));
    world.people.put(world.tenant.id, face::Person { phone: None, ..person });
    assert_eq!(shown("openid phone").await, (json!(null), json!(null)));
    let found = json(world.get(".well-known/openid-configuration"), StatusCode::OK).await;
    for (list, name) in [("scopes_supported", "phone"), ("claims_supported", "phone_number_verified")] {
        assert!(found[list].as_array().unwrap().contains(&json!(name)), "{found}");
    }
}

#[tokio::test]
async fn a_picture_that_somebody_uploaded_is_claimed_by_its_address_and_shown_to_whoever_knows_that() {
    let world = World::start().await;
    let ada = world.person("ada@example.com").await;
    let person = world.people.by_id(world.tenant.id, ada).await.unwrap().unwrap();
    let uploaded_picture = Some("q83vEjRWeJq83vEjRWeJqw".to_owned());
    world.people.put(world.tenant.id, face::Person { picture: None, uploaded_picture, ..person });
    let app = world.client(true).await;
    let asks = app.asks(&[("scope", "openid profile")]);
    let code = Browser::default().signs_in(&world, &asks, "ada@example.com", PASSWORD).await.code();
    let tokens = json(app.redeems(&world, &code, &[]), StatusCode::OK).await;
    let info = world.get("userinfo").bearer_auth(tokens["access_token"].as_str().unwrap());
    let (id, info) = (claims(tokens["id_token"].as_str().unwrap()), json(info, StatusCode::OK).await);
    let address = format!("{}/t/{}/pictures/q83vEjRWeJq83vEjRWeJqw", world.url, world.tenant.id);
    assert_eq!((&id["picture"], &info["picture"]), (&json!(address), &json!(address)));

    let shown = world.http.get(&address).send().await.unwrap();
    assert_eq!(shown.status(), StatusCode::OK);
    for (name, value) in [
        ("content-type", "image/png"),
        ("cache-control", "public, max-age=300"),
        ("x-content-type-options", "nosniff"),
        ("content-security-policy", "default-src 'none'; sandbox"),
        ("cross-origin-resource-policy", "cross-origin"),
    ] {
        assert_eq!(shown.headers()[name], value);
    }
    assert_eq!(shown.text().await.unwrap(), "q83vEjRWeJq83vEjRWeJqw");
    // Also by the tenant's short name; but not as another tenant's, nor in part, nor one that does not exist.
    for (path, status) in [
        ("acme/pictures/q83vEjRWeJq83vEjRWeJqw", StatusCode::OK),
        ("other/pictures/q83vEjRWeJq83vEjRWeJqw", StatusCode::NOT_FOUND),
        ("nobody/pictures/q83vEjRWeJq83vEjRWeJqw", StatusCode::NOT_FOUND),
        ("0197a8a0-0000-7000-8000-000000000001/pictures/q83vEjRWeJq83vEjRWeJqw", StatusCode::NOT_FOUND),
        ("acme/pictures/q83vEjRWeJq83vEjRWeJq", StatusCode::NOT_FOUND),
        ("acme/pictures/%00", StatusCode::NOT_FOUND),
    ] {
        for accept in ["image/avif,image/*", "text/html"] {
            let asked = world.http.get(format!("{}/t/{path}", world.url)).header("accept", accept);
            let answer = asked.send().await.unwrap();
            assert_eq!(answer.status(), status, "{path}");
            // A missing picture may exist a moment later, so that response is not cached.
            let keep = if status == StatusCode::OK { "public, max-age=300" } else { "no-store" };
            assert_eq!(answer.headers()["cache-control"], keep, "{path} {accept}");
        }
    }
    let other = world.http.get(&address).header("x-tenant-id", "0197a8a0-0000-7000-8000-000000000001");
    assert_eq!(other.send().await.unwrap().status(), StatusCode::FORBIDDEN, "the header names another tenant");
}

#[tokio::test]
async fn a_postal_address_is_for_who_may_see_it_in_as_many_parts_as_are_known() {
    let world = World::start().await;
    let ada = world.person("ada@example.com").await;
    let app = world.client(true).await;
    let shown = async |scope: &str| {
        let mut browser = Browser::default();
        let asks = app.asks(&[("scope", scope)]);
        let code = browser.signs_in(&world, &asks, "ada@example.com", PASSWORD).await.code();
        let tokens = json(app.redeems(&world, &code, &[]), StatusCode::OK).await;
        let info = world.get("userinfo").bearer_auth(tokens["access_token"].as_str().unwrap());
        let (id, info) = (claims(tokens["id_token"].as_str().unwrap()), json(info, StatusCode::OK).await);
        assert_eq!(id["address"], info["address"], "{id} {info}");
        info["address"].clone()
    };
    let mut parts = json!({ "street_address": "12 St James's Square\nFlat 3", "locality": "London", "postal_code": "SW1Y 4JH",
        "country": "GB" });
    assert_eq!(shown("openid profile email phone").await, json!(null));
    assert_eq!(shown("openid address").await, parts);
    let person = world.people.by_id(world.tenant.id, ada).await.unwrap().unwrap();
    let written = Some("12 St James's Square, London".to_owned());
    let put = |person| world.people.put(world.tenant.id, person);
    put(face::Person { formatted_address: written.clone(), ..person.clone() });
    parts["formatted"] = "12 St James's Square, London".into();
    assert_eq!(shown("openid address").await, parts);
    put(face::Person { address: None, formatted_address: written.clone(), ..person.clone() });
    assert_eq!(shown("openid address").await, json!({ "formatted": written }));
    put(face::Person { address: None, ..person });
    assert_eq!(shown("openid address").await, json!(null));
    let found = json(world.get(".well-known/openid-configuration"), StatusCode::OK).await;
    for list in ["scopes_supported", "claims_supported"] {
        assert!(found[list].as_array().unwrap().contains(&json!("address")), "{found}");
    }
}
