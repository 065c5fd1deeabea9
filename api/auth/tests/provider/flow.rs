//! Signing in for a client, from the first page to signing out.

use auth_aggregates::OurAlgorithm;
use auth_commands::{
    ChangeClient, ClientFields, DeactivateClient, EndSessions, RetireSigningKey, RevokeSession, SetSignInPolicy,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use face::People;
use reqwest::StatusCode;
use serde_json::json;
use sha2::{Digest, Sha256, Sha512};
use testbed::Browser;

use crate::world::{BACK, OUT, PASSWORD, Visits, World, claims, json};

#[tokio::test]
async fn somebody_signs_in_consents_and_the_client_learns_who_it_is() {
    let world = World::start().await;
    let (ada, app) = (world.person("ada@example.com").await, world.client(false).await);
    let mut browser = Browser::default();
    let consent = browser.signs_in(&world, &app.asks(&[]), "Ada@Example.com", PASSWORD).await;
    assert_eq!(consent.status, StatusCode::OK, "{consent:?}");
    for shown in ["The App", "Ada Lovelace", "see your e-mail address", "keep access while you are away"] {
        assert!(consent.body.contains(shown), "{shown} is not in {}", consent.body);
    }
    let form = [("pending", consent.hidden("pending")), ("decision", "allow".to_owned())];
    let form: Vec<_> = form.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let back = browser.fill_in(&world, "consent", &form).await;
    let (location, parameters) = back.leads_to();
    assert!(location.starts_with(&format!("{BACK}&code=")), "{location}");
    assert_eq!((parameters["state"].as_str(), parameters["iss"].as_str()), ("s&t=1", world.issuer().as_str()));

    let tokens = json(app.redeems(&world, &back.code(), &[]), StatusCode::OK).await;
    let id = claims(tokens["id_token"].as_str().unwrap());
    for (claim, value) in [
        ("iss", json!(world.issuer())),
        ("sub", json!(ada)),
        ("aud", json!(app.id)),
        ("nonce", json!("n-1")),
        ("acr", json!("aal1")),
        ("amr", json!(["pwd"])),
        ("email", json!("ada@example.com")),
    ] {
        assert_eq!(id[claim], value, "{claim} of {id}");
    }
    let access = tokens["access_token"].as_str().unwrap();
    let said = claims(access);
    assert_eq!((&said["roles"], &said["sid"]), (&json!(["member"]), &id["sid"]), "{said}");
    let trusted = world.provider.trust.check(access).await.unwrap();
    assert_eq!((trusted.tenant, trusted.subject), (world.tenant.id, ada.to_string()));
    let info = json(world.get("userinfo").bearer_auth(access), StatusCode::OK).await;
    assert_eq!(
        info,
        json!({
            "sub": ada, "name": "Ada Lovelace", "given_name": "Ada", "family_name": "Lovelace",
            "preferred_username": "ada@example.com", "picture": "https://example.com/ada.png", "locale": "en",
            "zoneinfo": "Europe/London", "updated_at": 86_400, "email": "ada@example.com", "email_verified": true,
        })
    );
    // Each claim that is told is one of those that are said to be.
    let found = json(world.get(".well-known/openid-configuration"), StatusCode::OK).await;
    let supported = found["claims_supported"].as_array().unwrap();
    for claim in info.as_object().unwrap().keys().chain(id.as_object().unwrap().keys()) {
        assert!(supported.contains(&json!(claim)), "{claim} is not in {supported:?}");
    }

    // The second time nobody is asked anything.
    let again = browser.visit(&world, &app.asks(&[("prompt", "none")])).await;
    assert_eq!(again.leads_to().0.split("code=").count(), 2);
}

#[tokio::test]
async fn refresh_tokens_rotate_and_the_reuse_of_an_old_one_ends_the_family() {
    let world = World::start().await;
    world.person("ada@example.com").await;
    let app = world.client(true).await;
    let code = Browser::default().signs_in(&world, &app.asks(&[]), "ada@example.com", PASSWORD).await.code();
    let first = json(app.redeems(&world, &code, &[]), StatusCode::OK).await;
    let token = |tokens: &serde_json::Value| tokens["refresh_token"].as_str().unwrap().to_owned();
    let second = json(app.refreshes(&world, &token(&first)), StatusCode::OK).await;
    assert_ne!(token(&first), token(&second));
    let access = second["access_token"].as_str().unwrap();
    assert!(world.provider.trust.check(access).await.is_ok());

    let before = world.head().await;
    let reused = json(app.refreshes(&world, &token(&first)), StatusCode::BAD_REQUEST).await;
    assert_eq!(reused["error"], "invalid_grant");
    let (event, payload) = world.last_event().await;
    assert_eq!((event.as_str(), &payload["reason"]), ("auth.grant.revoked", &json!("refresh_reused")));
    assert_eq!(world.head().await, before + 1, "one record");
    let dead = json(app.refreshes(&world, &token(&second)), StatusCode::BAD_REQUEST).await;
    assert_eq!(dead["error"], "invalid_grant");
    assert_eq!(world.provider.trust.check(access).await.unwrap_err().code(), "token_revoked");
    assert_eq!(world.head().await, before + 1, "what is dead already is not recorded again");
}

#[tokio::test]
async fn who_may_not_sign_in_any_more_gets_no_tokens_any_more() {
    let world = World::start().await;
    let (ada, app) = (world.person("ada@example.com").await, world.client(true).await);
    let mut browser = Browser::default();
    let tokens = app.tokens(&world, &mut browser).await;
    let (access, refresh) = (tokens["access_token"].as_str().unwrap(), tokens["refresh_token"].as_str().unwrap());
    world.administers(&EndSessions { user: ada, reason: "locked".to_owned() }).await;
    assert_eq!(world.provider.trust.check(access).await.unwrap_err().code(), "token_revoked");
    assert_eq!(json(app.refreshes(&world, refresh), StatusCode::BAD_REQUEST).await["error"], "invalid_grant");
    let page = browser.visit(&world, &app.asks(&[])).await;
    assert!(page.body.contains("Password"), "the browser is signed in still: {}", page.body);
}

#[tokio::test]
async fn a_session_that_ends_takes_with_it_what_does_not_go_on_without_it() {
    let world = World::start().await;
    world.person("ada@example.com").await;
    let app = world.client(true).await;
    let mut browser = Browser::default();
    let code =
        browser.signs_in(&world, &app.asks(&[("scope", "openid api")]), "ada@example.com", PASSWORD).await.code();
    let bound = json(app.redeems(&world, &code, &[]), StatusCode::OK).await;
    assert!(bound["refresh_token"].is_null(), "nobody asked for offline_access");
    let code = browser.visit(&world, &app.asks(&[])).await.code();
    let offline = json(app.redeems(&world, &code, &[]), StatusCode::OK).await;
    let access = |tokens: &serde_json::Value| tokens["access_token"].as_str().unwrap().to_owned();
    let session = claims(&access(&bound))["sid"].as_str().unwrap().parse().unwrap();
    world.administers(&RevokeSession { session }).await;
    assert_eq!(world.provider.trust.check(&access(&bound)).await.unwrap_err().code(), "token_revoked");
    assert!(world.provider.trust.check(&access(&offline)).await.is_ok());
    world.administers(&DeactivateClient { client: app.id }).await;
    assert_eq!(world.provider.trust.check(&access(&offline)).await.unwrap_err().code(), "token_revoked");
}

#[tokio::test]
async fn somebody_signs_out_everywhere_at_one_browser() {
    let world = World::start().await;
    world.person("ada@example.com").await;
    let mut browsers = [Browser::default(), Browser::default()];
    for browser in &mut browsers {
        browser.signs_in(&world, "login", "ada@example.com", PASSWORD).await;
        assert_eq!(browser.visit(&world, "account").await.status, StatusCode::OK);
    }
    world.clock.advance(TimeDelta::seconds(1));
    let out = browsers[0].fill_in(&world, "account/sessions", &[]).await;
    assert_eq!(out.leads_to().0, "/t/acme/account", "{out:?}");
    for browser in &mut browsers {
        assert_eq!(browser.visit(&world, "account").await.leads_to().0, "/t/acme/login");
    }
}

#[tokio::test]
async fn a_client_that_knows_the_session_signs_out_of_it_and_a_strangers_link_asks() {
    let world = World::start().await;
    world.person("ada@example.com").await;
    let app = world.client(true).await;
    let mut browser = Browser::default();
    let tokens = app.tokens(&world, &mut browser).await;
    let asked = browser.visit(&world, "logout").await;
    assert!(asked.status == StatusCode::OK && asked.body.contains("Sign out?"), "{asked:?}");
    assert!(browser.visit(&world, &app.asks(&[("prompt", "none")])).await.leads_to().1.contains_key("code"));

    let query = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs([
            ("id_token_hint", tokens["id_token"].as_str().unwrap()),
            ("post_logout_redirect_uri", OUT),
            ("state", "bye"),
        ])
        .finish();
    let out = browser.visit(&world, &format!("logout?{query}")).await;
    assert_eq!(out.leads_to().0, format!("{OUT}?state=bye"));
    assert!(!browser.cookies.contains_key("inopsio-acme"), "the cookie is still there");
    assert_eq!(browser.visit(&world, &app.asks(&[("prompt", "none")])).await.leads_to().1["error"], "login_required");
    let elsewhere = query.replace("app.example.com", "evil.example.com");
    assert_eq!(browser.visit(&world, &format!("logout?{elsewhere}")).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn who_signed_in_too_long_ago_signs_in_anew() {
    let world = World::start().await;
    world.person("ada@example.com").await;
    let app = world.client(true).await;
    let mut browser = Browser::default();
    let code = browser.signs_in(&world, &app.asks(&[]), "ada@example.com", PASSWORD).await;
    assert_eq!(code.status, StatusCode::SEE_OTHER);
    world.clock.advance(TimeDelta::minutes(10));
    let young_enough = browser.visit(&world, &app.asks(&[("max_age", "601")])).await;
    assert!(young_enough.leads_to().1.contains_key("code"));
    for asked in [[("max_age", "599")], [("prompt", "login")]] {
        let page = browser.visit(&world, &app.asks(&asked)).await;
        assert!(page.status == StatusCode::OK && page.body.contains("Password"), "{asked:?}: {page:?}");
    }
    let silently = browser.visit(&world, &app.asks(&[("max_age", "599"), ("prompt", "none")])).await;
    assert_eq!(silently.leads_to().1["error"], "login_required");
    let anew = browser.signs_in(&world, &app.asks(&[("prompt", "login")]), "ada@example.com", PASSWORD).await;
    let id = json(app.redeems(&world, &anew.code(), &[]), StatusCode::OK).await;
    assert_eq!(claims(id["id_token"].as_str().unwrap())["auth_time"], world.now().timestamp());
}

#[tokio::test]
async fn who_does_not_consent_is_sent_back_and_nothing_is_granted() {
    let world = World::start().await;
    world.person("ada@example.com").await;
    let app = world.client(false).await;
    let mut browser = Browser::default();
    let consent = browser.signs_in(&world, &app.asks(&[]), "ada@example.com", PASSWORD).await;
    let before = world.head().await;
    let form = [("pending", consent.hidden("pending")), ("decision", "deny".to_owned())];
    let form: Vec<_> = form.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let back = browser.fill_in(&world, "consent", &form).await;
    assert_eq!(back.leads_to().1["error"], "access_denied");
    assert_eq!(world.head().await, before, "something was written");
}

#[tokio::test]
async fn what_somebody_let_an_application_do_ends_when_they_withdraw_it() {
    let world = World::start().await;
    world.person("ada@example.com").await;
    let app = world.client(false).await;
    let mut browser = Browser::default();
    let consent = browser.signs_in(&world, &app.asks(&[]), "ada@example.com", PASSWORD).await;
    let pending = consent.hidden("pending");
    let code = browser.fill_in(&world, "consent", &[("pending", &pending), ("decision", "allow")]).await.code();
    let tokens = json(app.redeems(&world, &code, &[]), StatusCode::OK).await;
    let (access, refresh) = (tokens["access_token"].as_str().unwrap(), tokens["refresh_token"].as_str().unwrap());
    assert!(world.provider.trust.check(access).await.is_ok());
    let account = browser.visit(&world, "account").await;
    assert!(account.body.contains("The App"), "{account:?}");
    let client = account.hidden("client");
    let before = world.head().await;
    let other = browser.fill_in(&world, "account/applications", &[("client", &world.tenant.id.to_string())]).await;
    assert_eq!(other.status, StatusCode::NOT_FOUND, "{other:?}");
    assert_eq!(world.head().await, before, "something was written");
    browser.fill_in(&world, "account/applications", &[("client", &client)]).await;
    assert_eq!(world.provider.trust.check(access).await.unwrap_err().code(), "token_revoked");
    assert_eq!(json(app.refreshes(&world, refresh), StatusCode::BAD_REQUEST).await["error"], "invalid_grant");
    let asked = browser.visit(&world, &app.asks(&[])).await;
    assert!(asked.body.contains("name=\"decision\""), "nobody is asked again: {asked:?}");
}

#[tokio::test]
async fn a_client_says_beforehand_what_it_asks_for_and_nobody_changes_it_on_the_way() {
    let world = World::start().await;
    world.person("ada@example.com").await;
    let (app, other) = (world.client(true).await, world.client(true).await);
    let asks = app.asks(&[]);
    let parameters: Vec<(String, String)> =
        url::form_urlencoded::parse(asks.split_once('?').unwrap().1.as_bytes()).into_owned().collect();
    let fields: Vec<_> = parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let before = world.head().await;
    let push = |fields: &[(&str, &str)]| world.post("par", fields).basic_auth(app.id, Some(&app.secret));
    let pushed = json(push(&fields), StatusCode::CREATED).await;
    assert_eq!(world.head().await, before, "something was stored");
    let refer = |client: &str| {
        let uri = pushed["request_uri"].as_str().unwrap();
        let query = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs([
                ("client_id", client),
                ("request_uri", uri),
                ("scope", "api"),
                ("redirect_uri", "https://evil"),
            ])
            .finish();
        format!("authorize?{query}")
    };
    let mut browser = Browser::default();
    let code = browser.signs_in(&world, &refer(&app.id.to_string()), "ada@example.com", PASSWORD).await.code();
    let tokens = json(app.redeems(&world, &code, &[]), StatusCode::OK).await;
    assert!(tokens["scope"].as_str().unwrap().contains("openid"), "{tokens}");
    let stolen = browser.visit(&world, &refer(&other.id.to_string())).await;
    assert_eq!(stolen.status, StatusCode::BAD_REQUEST, "{stolen:?}");
    world.clock.advance(TimeDelta::seconds(91));
    let late = browser.visit(&world, &refer(&app.id.to_string())).await;
    assert_eq!(late.status, StatusCode::BAD_REQUEST, "{late:?}");
    for (name, value, error) in [
        ("redirect_uri", "https://evil.example.com/", "invalid_request"),
        ("response_type", "token", "unsupported_response_type"),
        ("code_challenge_method", "plain", "invalid_request"),
        ("request_uri", "urn:ietf:params:oauth:request_uri:x", "invalid_request"),
    ] {
        let mut fields: Vec<_> = fields.iter().copied().filter(|(known, _)| *known != name).collect();
        fields.push((name, value));
        assert_eq!(json(push(&fields), StatusCode::BAD_REQUEST).await["error"], error, "{name}: {value}");
    }
    json(world.post("par", &fields), StatusCode::UNAUTHORIZED).await;
}

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
    // By the tenant's short name, too; not as another tenant's, nor in part, nor as a picture that nobody has.
    for (path, status) in [
        ("acme/pictures/q83vEjRWeJq83vEjRWeJqw", StatusCode::OK),
        ("other/pictures/q83vEjRWeJq83vEjRWeJqw", StatusCode::NOT_FOUND),
        ("nobody/pictures/q83vEjRWeJq83vEjRWeJqw", StatusCode::NOT_FOUND),
        ("0197a8a0-0000-7000-8000-000000000001/pictures/q83vEjRWeJq83vEjRWeJqw", StatusCode::NOT_FOUND),
        ("acme/pictures/q83vEjRWeJq83vEjRWeJq", StatusCode::NOT_FOUND),
        ("acme/pictures/%00", StatusCode::NOT_FOUND),
    ] {
        let answer = world.http.get(format!("{}/t/{path}", world.url)).send().await.unwrap();
        assert_eq!(answer.status(), status, "{path}");
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

#[tokio::test]
async fn a_client_gets_id_tokens_of_the_algorithm_that_it_asks_for_and_access_tokens_stay_as_they_are() {
    let world = World::start().await;
    world.person("ada@example.com").await;
    let app = world.client(true).await;
    let alg = |token: &serde_json::Value| {
        let header = URL_SAFE_NO_PAD.decode(token.as_str().unwrap().split('.').next().unwrap()).unwrap();
        serde_json::from_slice::<serde_json::Value>(&header).unwrap()["alg"].take()
    };
    let keys = async || {
        let keys = json(world.get("jwks"), StatusCode::OK).await["keys"].take();
        keys.as_array().unwrap().iter().map(|key| key["alg"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    for algorithm in OurAlgorithm::ALL {
        let name = auth_aggregates::Algorithm::from(algorithm).as_str();
        assert!(keys().await.iter().all(|shown| shown != "RS256"), "it is made when it is needed");
        let fields = ClientFields {
            name: "The App".to_owned(),
            confidential: true,
            redirect_uris: vec![BACK.to_owned()],
            post_logout_redirect_uris: vec![OUT.to_owned()],
            trusted: true,
            id_token_signed_response_alg: algorithm,
            ..ClientFields::default()
        };
        world.administers(&ChangeClient { client: app.id, fields }).await;
        let tokens = app.tokens(&world, &mut Browser::default()).await;
        assert_eq!((alg(&tokens["id_token"]), alg(&tokens["access_token"])), (name.into(), "EdDSA".into()));
        let access = tokens["access_token"].as_str().unwrap();
        let half = match algorithm {
            OurAlgorithm::EdDSA => Sha512::digest(access)[..32].to_vec(),
            OurAlgorithm::ES256 | OurAlgorithm::RS256 => Sha256::digest(access)[..16].to_vec(),
        };
        assert_eq!(claims(tokens["id_token"].as_str().unwrap())["at_hash"], URL_SAFE_NO_PAD.encode(half));
        // Whoever signs out shows it, and it is believed.
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("id_token_hint", tokens["id_token"].as_str().unwrap())
            .append_pair("post_logout_redirect_uri", OUT)
            .finish();
        assert_eq!(Browser::default().visit(&world, &format!("logout?{query}")).await.leads_to().0, OUT);
    }
    assert_eq!(keys().await, ["EdDSA", "ES256", "RS256"], "one of each, however often it signs");
}

#[tokio::test]
async fn a_key_that_has_grown_old_is_followed_by_another_and_retired_when_nothing_it_signed_is_good_any_more() {
    let world = World::start().await;
    world.person("ada@example.com").await;
    let app = world.client(true).await;
    let kids = async || {
        let keys = world.http.get(format!("{}/jwks", world.issuer())).send().await.unwrap();
        let keys: serde_json::Value = keys.json().await.unwrap();
        let keys = keys["keys"].as_array().unwrap().iter().filter(|key| key["alg"] == "EdDSA");
        keys.map(|key| key["kid"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let signs = async || {
        let mut browser = Browser::default();
        let tokens = app.tokens(&world, &mut browser).await;
        (browser, tokens["id_token"].as_str().unwrap().to_owned())
    };
    signs().await;
    let [first] = &kids().await[..] else { panic!("one key") };
    // Somebody takes the id beforehand that its rotation might have.
    let executor = world.provider.authority.executor();
    let taken = executor.unasked(&world.admin(), Some(format!("rotate-signing-key-{first}")));
    let policy = SetSignInPolicy { session_idle_minutes: Some(14 * 24 * 60), ..SetSignInPolicy::default() };
    executor.execute(&taken, &policy).await.unwrap();
    world.clock.advance(TimeDelta::days(91));
    let (mut browser, hint) = signs().await;
    let second = testbed::eventually("another key is shown", async || {
        let kids = kids().await;
        (kids.len() == 2 && kids[0] == *first).then(|| kids[1].clone())
    })
    .await;
    // It is retired before it ever signs: the old one gets another one to follow it.
    world.administers(&RetireSigningKey { kid: second.clone() }).await;
    world.clock.advance(TimeDelta::hours(1));
    signs().await;
    let third = testbed::eventually("a third key is shown", async || {
        let kids = kids().await;
        (kids.len() == 2 && kids[0] == *first && kids[1] != second).then(|| kids[1].clone())
    })
    .await;

    // What the old one signed is good for signing out as long as a session lasts.
    world.clock.advance(TimeDelta::days(2));
    signs().await;
    let query = |hint: &str| {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.extend_pairs([("id_token_hint", hint), ("post_logout_redirect_uri", OUT)]);
        format!("logout?{}", query.append_pair("client_id", &app.id.to_string()).finish())
    };
    assert_eq!(kids().await, [first.clone(), third.clone()]);
    assert_eq!(browser.visit(&world, &query(&hint)).await.leads_to().0, OUT);
    assert_eq!(browser.visit(&world, "account").await.leads_to().0, "/t/acme/login");
    world.clock.advance(TimeDelta::days(14));
    let (mut browser, _) = signs().await;
    testbed::eventually("the old one is retired", async || (kids().await == [third.clone()]).then_some(())).await;
    // A hint that nobody can check any more is none.
    assert_eq!(Browser::default().visit(&world, &query(&hint)).await.leads_to().0, OUT);
    let asked = browser.visit(&world, &query(&hint)).await;
    assert!(asked.status == StatusCode::OK && asked.body.contains("Sign out?"), "{asked:?}");
}
