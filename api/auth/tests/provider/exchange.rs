//! Token exchange (RFC 8693).

use auth_aggregates::{ClientId, EndReason, SessionId};
use auth_api::authority::AccessClaims;
use auth_commands::{
    ChangeClient, ChangeMachine, ClientFields, EndSession, Reach, RegisterMachine, SetMachineSecret, WithdrawGrant,
    protocol,
};
use chrono::TimeDelta;
use reqwest::{RequestBuilder, StatusCode};
use serde_json::{Value, json};
use testbed::Browser;

use crate::world::{App, BACK, OUT, PASSWORD, Visits, World, claims, json as answered};

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS: &str = "urn:ietf:params:oauth:token-type:access_token";

/// A client that may exchange tokens, or may not.
async fn service(world: &World, exchanges: bool) -> App {
    let app = world.client(true).await;
    world.run_as_admin(&ChangeClient { client: app.id, fields: fields(exchanges), reach: Reach::Everything }).await;
    app
}

fn fields(exchanges: bool) -> ClientFields {
    ClientFields {
        name: "A service".to_owned(),
        confidential: true,
        redirect_uris: vec![BACK.to_owned()],
        post_logout_redirect_uris: vec![OUT.to_owned()],
        trusted: true,
        exchanges,
        ..ClientFields::default()
    }
}

/// An access token for Ada, issued to an application.
async fn token(world: &World, scope: &str) -> (String, App) {
    world.person("ada@example.com").await;
    let app = world.client(true).await;
    let mut browser = Browser::default();
    let code = browser.signs_in(world, &app.asks(&[("scope", scope)]), "ada@example.com", PASSWORD).await.code();
    let tokens = answered(app.redeems(world, &code, &[]), StatusCode::OK).await;
    (tokens["access_token"].as_str().unwrap().to_owned(), app)
}

fn exchanges(world: &World, service: &App, token: &str, more: &[(&str, &str)]) -> RequestBuilder {
    let mut form = vec![("grant_type", EXCHANGE), ("subject_token", token), ("subject_token_type", ACCESS)];
    for (name, value) in more {
        form.retain(|(known, _)| known != name);
        form.push((name, value));
    }
    world.post("token", &form).basic_auth(service.id, Some(&service.secret))
}

async fn exchanged(world: &World, service: &App, token: &str, more: &[(&str, &str)]) -> Value {
    answered(exchanges(world, service, token, more), StatusCode::OK).await
}

/// Checks that a request is refused with this error, and that nothing is written.
async fn refused(world: &World, request: RequestBuilder, error: &str) {
    let before = world.head().await;
    let said = answered(request, StatusCode::BAD_REQUEST).await;
    assert_eq!(said["error"], error, "{said}");
    assert_eq!(world.head().await, before, "something was written");
}

async fn holds(world: &World, service: &App, token: &str) -> bool {
    let asked = world.post("introspect", &[("token", token)]).basic_auth(service.id, Some(&service.secret));
    answered(asked, StatusCode::OK).await["active"] == true
}

#[tokio::test]
async fn a_service_gets_a_token_of_the_same_person_for_less_that_says_who_acts() {
    let world = World::start().await;
    let (token, _) = token(&world, "openid api offline_access").await;
    let service = service(&world, true).await;
    let said = exchanged(&world, &service, &token, &[("scope", "crm:lead:read crm:contact:*")]).await;
    assert_eq!((&said["issued_token_type"], &said["token_type"]), (&json!(ACCESS), &json!("Bearer")));
    assert!(said.get("refresh_token").is_none() && said.get("id_token").is_none(), "{said}");
    let (old, new) = (claims(&token), claims(said["access_token"].as_str().unwrap()));
    for same in ["sub", "tenant", "roles", "sid", "acr", "amr", "auth_time", "iss"] {
        assert_eq!(new[same], old[same], "{same}");
    }
    assert_eq!((&new["scope"], &new["client_id"]), (&json!("crm:contact:* crm:lead:read"), &json!(service.id)));
    assert_eq!(new["act"], json!({ "sub": service.id }));
    assert!(new["exp"].as_i64() <= old["exp"].as_i64());
    // The next service exchanges it again, and names another actor.
    let next = self::service(&world, true).await;
    let first = said["access_token"].as_str().unwrap();
    let actor = [("actor_token", token.as_str()), ("actor_token_type", ACCESS), ("scope", "crm:lead:read")];
    let second = exchanged(&world, &next, first, &actor).await;
    let second = claims(second["access_token"].as_str().unwrap());
    assert_eq!(second["act"], json!({ "sub": old["sub"], "act": { "sub": service.id } }));
    // Without a requested scope, it gets the scope for the API, but neither the identity nor the offline scopes.
    let all = exchanged(&world, &service, &token, &[]).await;
    assert_eq!(all["scope"], "api");
    let discovered = answered(world.get(".well-known/openid-configuration"), StatusCode::OK).await;
    assert!(discovered["grant_types_supported"].as_array().unwrap().contains(&json!(EXCHANGE)));
}

#[tokio::test]
async fn a_token_for_another_application_is_none_for_the_api() {
    let world = World::start().await;
    let (token, app) = token(&world, "openid api").await;
    let service = service(&world, true).await;
    let audience = app.id.to_string();
    let said = exchanged(&world, &service, &token, &[("audience", &audience), ("scope", "crm:lead:read")]).await;
    let audiences = claims(said["access_token"].as_str().unwrap())["aud"].clone();
    let mut audiences: Vec<_> = audiences.as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect();
    audiences.sort_unstable();
    let mut expected = [audience.as_str(), &world.issuer()];
    expected.sort_unstable();
    assert_eq!(audiences, expected, "not for the API");
    // It can't be turned back into a token for the API.
    let narrow = said["access_token"].as_str().unwrap();
    for back in [&[][..], &[("audience", "inopsio")]] {
        refused(&world, exchanges(&world, &service, narrow, back), "invalid_target").await;
    }
    exchanged(&world, &service, narrow, &[("audience", &audience)]).await;
    let api = exchanged(&world, &service, &token, &[("audience", "inopsio")]).await;
    assert!(claims(api["access_token"].as_str().unwrap())["aud"].to_string().contains("\"inopsio\""));
    for nobody in ["https://evil.example.com", "0197a8a0-0000-7000-8000-000000000001"] {
        refused(&world, exchanges(&world, &service, &token, &[("audience", nobody)]), "invalid_target").await;
    }
    refused(&world, exchanges(&world, &service, &token, &[("resource", "https://x.example")]), "invalid_target").await;
}

#[tokio::test]
async fn attack_85_a_token_that_is_exchanged_for_more_than_it_is() {
    let world = World::start().await;
    let (narrow, app) = token(&world, "openid crm:lead:*").await;
    let service = service(&world, true).await;
    for more in ["api", "crm:*", "crm:contact:read", "crm:lead:read crm:contact:read", "offline_access", "openid"] {
        refused(&world, exchanges(&world, &service, &narrow, &[("scope", more)]), "invalid_scope").await;
    }
    // By a client that may not exchange tokens, even if the token was issued to it.
    refused(&world, exchanges(&world, &app, &narrow, &[]), "unauthorized_client").await;
    // With a subject token that is not an access token of this tenant, with another token type, or with parameters missing.
    let mut changed = narrow.clone();
    changed.replace_range(narrow.len() - 4.., "AAAA");
    for bad in ["nonsense", changed.as_str()] {
        refused(&world, exchanges(&world, &service, bad, &[]), "invalid_request").await;
    }
    let id_token = "urn:ietf:params:oauth:token-type:id_token";
    for (name, value) in [
        ("subject_token_type", id_token),
        ("subject_token_type", ""),
        ("requested_token_type", id_token),
        ("actor_token_type", ACCESS),
        ("actor_token", narrow.as_str()),
    ] {
        refused(&world, exchanges(&world, &service, &narrow, &[(name, value)]), "invalid_request").await;
    }
    // The chain of actors has at most four members.
    let mut passed = narrow.clone();
    for _ in 0..4 {
        let said = exchanged(&world, &service, &passed, &[]).await;
        said["access_token"].as_str().unwrap().clone_into(&mut passed);
    }
    refused(&world, exchanges(&world, &service, &passed, &[]), "invalid_request").await;
    // The new token ends with the tokens that it was derived from, across the whole chain: here with the grant of the first one.
    assert!(holds(&world, &service, &passed).await);
    let grant = claims(&narrow)["grant"].as_str().unwrap().parse().unwrap();
    world.run_as_admin(&WithdrawGrant { grant, reach: Reach::Everything }).await;
    assert!(!holds(&world, &service, &passed).await && !holds(&world, &service, &narrow).await);
    refused(&world, exchanges(&world, &service, &narrow, &[]), "invalid_request").await;
}

#[tokio::test]
async fn an_exchanged_token_ends_with_the_session_the_clients_right_and_the_first_tokens_time() {
    let world = World::start().await;
    let (token, _) = token(&world, "openid api").await;
    let service = service(&world, true).await;
    let expires = claims(&token)["exp"].as_i64().unwrap();
    world.clock.advance(TimeDelta::minutes(10));
    let said = exchanged(&world, &service, &token, &[]).await;
    let new = said["access_token"].as_str().unwrap();
    // Rounded to whole seconds.
    let ends = claims(new)["exp"].as_i64().unwrap();
    assert!((expires - 1..=expires).contains(&ends), "{ends} of {expires}: it does not end with what it was made of");
    let session: SessionId = claims(&token)["sid"].as_str().unwrap().parse().unwrap();
    let end = EndSession { session, reason: EndReason::SignedOut };
    world.provider.authority.run(&protocol(world.tenant.id, "auth"), &end).await.unwrap();
    assert!(!holds(&world, &service, new).await);
    // A client that lost the right can't use it any more, and a public client never gets it.
    let client: ClientId = service.id;
    world.run_as_admin(&ChangeClient { client, fields: fields(false), reach: Reach::Everything }).await;
    refused(&world, exchanges(&world, &service, &token, &[]), "unauthorized_client").await;
    let public = ClientFields { confidential: false, ..fields(true) };
    let refusal =
        world.try_as_admin(&ChangeClient { client, fields: public, reach: Reach::Everything }).await.unwrap_err();
    assert_eq!(refusal.errors()[0].pointer, "/exchanges");
}

#[tokio::test]
async fn a_scope_that_is_no_permission_is_given_to_nobody() {
    let world = World::start().await;
    let (token, _) = token(&world, "openid api").await;
    let service = service(&world, true).await;
    let long = format!("crm:{}", "a".repeat(100));
    for scope in ["A:b", "a::b", "a:b:c:d", ":b", "a:", "*:b", "crm:lead:r\u{202e}ead", &long] {
        refused(&world, exchanges(&world, &service, &token, &[("scope", scope)]), "invalid_scope").await;
    }
}

/// A machine with these roles, and an access token for it.
async fn machine(world: &World, roles: &[&str]) -> (kernel::MachineId, String) {
    let roles = roles.iter().map(|role| (*role).to_owned()).collect();
    let machine =
        world.run_as_admin(&RegisterMachine { name: "sensor".to_owned(), roles, reach: Reach::Everything }).await;
    let secret = "a secret of the machine";
    let secret_hash = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(secret));
    world.run_as_admin(&SetMachineSecret { machine, secret_hash, reach: Reach::Everything }).await;
    let asked = world.post("token", &[("grant_type", "client_credentials")]).basic_auth(machine, Some(secret));
    let token = answered(asked, StatusCode::OK).await["access_token"].as_str().unwrap().to_owned();
    (machine, token)
}

#[tokio::test]
async fn a_machines_tokens_and_what_was_exchanged_for_them_say_what_it_is_now() {
    let world = World::start().await;
    let (machine, token) = machine(&world, &["admin"]).await;
    let service = service(&world, true).await;
    let exchanged = exchanged(&world, &service, &token, &[("scope", "crm:lead:read")]).await;
    let exchanged = exchanged["access_token"].as_str().unwrap();
    assert_eq!(claims(exchanged)["roles"], json!(["admin"]));
    let now = async |token: &str| world.provider.trust.check(token).await.unwrap().roles;
    assert_eq!((now(&token).await, now(exchanged).await), (vec!["admin".to_owned()], vec!["admin".to_owned()]));
    let roles = vec!["viewer".to_owned()];
    world
        .run_as_admin(&ChangeMachine {
            machine,
            name: "sensor".to_owned(),
            roles: roles.clone(),
            reach: Reach::Everything,
        })
        .await;
    assert_eq!((now(&token).await, now(exchanged).await), (roles.clone(), roles.clone()));
    let asked = world.post("introspect", &[("token", &token)]).basic_auth(service.id, Some(&service.secret));
    assert_eq!(answered(asked, StatusCode::OK).await["roles"], json!(roles));
    let again = exchanges(&world, &service, &token, &[("scope", "crm:lead:read")]);
    let again = answered(again, StatusCode::OK).await;
    assert_eq!(claims(again["access_token"].as_str().unwrap())["roles"], json!(roles));
}

#[tokio::test]
async fn a_token_for_the_api_whose_scope_names_nothing_of_it_may_nothing() {
    let world = World::start().await;
    let (access, _) = token(&world, "openid crm:lead:read").await;
    let (tenant, signed) = world.provider.trust.verify_token(&access, "inopsio").await.unwrap();
    let found = world.provider.authority.executor();
    let caller = protocol(tenant.id, "auth");
    let grant = found.load::<auth_aggregates::Grant>(&caller, &signed.custom.grant.to_string()).await.unwrap().unwrap();
    let terms = grant.0.terms.clone().unwrap();
    let check = async |scope: &str| {
        let said = AccessClaims { scope: scope.to_owned(), ..signed.custom.clone() };
        let (audience, lifetime) = (Some(["inopsio".to_owned()].into()), TimeDelta::minutes(1));
        let token = world.provider.authority.access_token_for(&tenant, &terms, said, lifetime, audience).await.unwrap();
        world.provider.trust.check(&token.text).await.unwrap().scopes
    };
    assert_eq!(check("openid profile").await, Some(vec![]), "nothing, and not everything");
    assert_eq!(check("").await, Some(vec![]));
    assert_eq!(check("openid crm:lead:read").await, Some(vec!["crm:lead:read".to_owned()]));
    assert_eq!(check("api crm:lead:read").await, None);
}
