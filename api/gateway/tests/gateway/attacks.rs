//! Attacks on tokens and on those who issue them. The numbers are those of docs/src/threat-model.md.

use std::collections::HashSet;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use directory::Directory;
use jwt_simple::common::HeaderOptions;
use jwt_simple::prelude::{Claims, Ed25519KeyPair, EdDSAKeyPairLike, HS256Key, MACLike, RS256PublicKey};
use kernel::{Role, SystemClock, SystemIds};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::issuers::{Machine, claims, header, issuer, reads, token_endpoint};
use crate::world::{Answer, Form, World};

/// A token with these parts; the signature may be invalid.
fn assemble(header: &Value, claims: &Value, signature: &str) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.{signature}", part(header), part(claims))
}

/// The number of recorded refused attempts in the auth service's log.
async fn records(world: &World) -> i64 {
    use sqlx::Connection;
    let mut connection = sqlx::PgConnection::connect_with(&world.auth.superuser()).await.unwrap();
    let count = "SELECT count(*) FROM log.events WHERE event_type = 'auth.sign_in.refused'";
    let count = sqlx::query_scalar(count).fetch_one(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    count
}

/// Asserts that all of these are refused with a code, and that neither log grows, except for one record of the refusal if the tenant is
/// known.
async fn all_refused(world: &World, tokens: Vec<(&str, String)>, code: &str) {
    let others = async || {
        let records = records(world).await;
        (world.head().await - records, world.head_of(&world.auth).await - records)
    };
    let (before, of_before) = (records(world).await, others().await);
    let issuers: HashSet<String> = tokens.iter().map(|(_, token)| claims(token)["iss"].to_string()).collect();
    for (what, token) in tokens {
        let answer = Answer::of(reads(world, &token)).await;
        assert_eq!((answer.status, answer.code()), (StatusCode::UNAUTHORIZED, code), "{what}: {answer:?}");
    }
    let logs = if code == "token_issuer" { 0 } else { issuers.len() as i64 };
    testbed::eventually("it is on record", async || (records(world).await >= before + logs).then_some(())).await;
    assert_eq!(others().await, of_before, "something was written");
}

#[tokio::test]
async fn attack_01_a_token_that_says_that_it_needs_no_signature() {
    let world = World::start().await;
    let token = Machine::register(&world, "m", &["viewer"]).await.token(&world).await;
    let (said, signature) = (claims(&token), token.rsplit('.').next().unwrap());
    let mut tokens = Vec::new();
    for algorithm in ["none", "None", "NONE", "nOnE", "", "HS256", "RS256", "ES256", "EdDSA"] {
        let mut head = header(&token);
        head["alg"] = algorithm.into();
        tokens.push((algorithm, assemble(&head, &said, "")));
        if algorithm != "EdDSA" {
            tokens.push((algorithm, assemble(&head, &said, signature)));
        }
    }
    all_refused(&world, tokens, "token_invalid").await;
}

#[tokio::test]
async fn attack_02_the_public_key_as_the_secret_of_a_mac() {
    let world = World::start().await;
    let token = Machine::register(&world, "m", &["viewer"]).await.token(&world).await;
    let set = Answer::of(world.anonymous(Method::GET, "/t/acme/jwks")).await;
    let key = set.body["keys"].as_array().unwrap().iter().find(|key| key["kid"] == header(&token)["kid"]).unwrap();
    let x = key["x"].as_str().unwrap();
    let raw = URL_SAFE_NO_PAD.decode(x).unwrap();
    let kid = |key: &Value| key["kid"].as_str().unwrap().to_owned();
    let forge_for = |kid: &str, secret: &[u8]| {
        let claims = Claims::with_custom_claims(claims(&token), Duration::from_hours(1).into());
        let options = HeaderOptions { content_type: None, signature_type: Some("at+jwt".to_owned()) };
        HS256Key::from_bytes(secret).with_key_id(kid).authenticate_with_options(claims, &options).unwrap()
    };
    let forge = |secret: &[u8]| forge_for(&kid(key), secret);
    // The classic form of the attack: the key is an RSA key, whose public PEM everybody has.
    let client = json!({
        "name": "Old", "confidential": true, "redirect_uris": ["https://app.example.com/back"],
        "id_token_signed_response_alg": "RS256",
    });
    let made = world.post("/v1/auth/clients", client).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    let rsa = testbed::eventually("a key of RSA is shown", async || {
        let set = Answer::of(world.anonymous(Method::GET, "/t/acme/jwks")).await.body;
        set["keys"].as_array().unwrap().iter().find(|key| key["alg"] == "RS256").cloned()
    })
    .await;
    let part = |name: &str| URL_SAFE_NO_PAD.decode(rsa[name].as_str().unwrap()).unwrap();
    let public = RS256PublicKey::from_components(&part("n"), &part("e")).unwrap();
    let (pem, der) = (public.to_pem().unwrap(), public.to_der().unwrap());
    let tokens = vec![
        ("raw", forge(&raw)),
        ("base64", forge(x.as_bytes())),
        ("jwk", forge(key.to_string().as_bytes())),
        ("set", forge(set.body.to_string().as_bytes())),
        ("modulus", forge_for(&kid(&rsa), &part("n"))),
        ("PEM of RSA", forge_for(&kid(&rsa), pem.as_bytes())),
        ("DER of RSA", forge_for(&kid(&rsa), &der)),
    ];
    all_refused(&world, tokens, "token_invalid").await;
}

#[tokio::test]
async fn attack_03_a_key_id_that_is_a_path_a_statement_or_an_address() {
    let world = World::start().await;
    let token = Machine::register(&world, "m", &["viewer"]).await.token(&world).await;
    let signature = token.rsplit('.').next().unwrap();
    let kids = [
        "../../../../dev/null",
        "/etc/passwd",
        "x' OR '1'='1",
        "'; DROP TABLE log.events; --",
        "http://127.0.0.1:1/keys",
        "",
        "\u{0}",
    ];
    let tokens = kids.map(|kid| {
        let mut head = header(&token);
        head["kid"] = kid.into();
        (kid, assemble(&head, &claims(&token), signature))
    });
    all_refused(&world, tokens.into(), "token_invalid").await;
}

#[tokio::test]
async fn attack_04_a_token_that_brings_its_own_key_or_says_where_to_fetch_one() {
    let world = World::start().await;
    let canary = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/keys", canary.local_addr().unwrap());
    let good = Machine::register(&world, "m", &["admin"]).await.token(&world).await;
    let pair = Ed25519KeyPair::generate();
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(pair.public_key().to_bytes()) });
    let kid = header(&good)["kid"].as_str().unwrap().to_owned();
    let options = HeaderOptions { content_type: None, signature_type: Some("at+jwt".to_owned()) };
    let forged = Claims::with_custom_claims(claims(&good), Duration::from_hours(1).into());
    let signed = pair.clone().with_key_id(&kid).sign_with_options(forged, &options).unwrap();
    let signature = signed.rsplit('.').next().unwrap().to_owned();
    let mut tokens = vec![("signed with another key under our key's id", signed)];
    for (member, value) in [
        ("jwk", json!(jwk.to_string())),
        ("jwk", jwk),
        ("jku", json!(url)),
        ("x5u", json!(url)),
        ("x5c", json!(["AAAA"])),
    ] {
        let mut head = header(&good);
        head[member] = value;
        tokens.push((member, assemble(&head, &claims(&good), &signature)));
    }
    all_refused(&world, tokens, "token_invalid").await;
    let called = tokio::time::timeout(Duration::from_millis(300), canary.accept()).await;
    assert!(called.is_err(), "somebody fetched the key that the token names");
}

#[tokio::test]
async fn attack_05_one_tenants_key_under_anothers_issuer() {
    let world = World::start().await;
    let other = Directory::open(&world.config).create("other", "Other", &SystemClock, &SystemIds).await.unwrap();
    // The other tenant's administrator has a machine there, with a valid token of that tenant.
    let admin = crate::world::token(&world.config, other.tenant_id, &[kernel::Role::Admin]);
    let post =
        |path: String, body: Value| Answer::of(world.anonymous(Method::POST, &path).bearer_auth(&admin).json(&body));
    let made = post("/v1/auth/machines".to_owned(), json!({ "name": "m", "roles": ["admin"] })).await;
    let id = made.body["id"].as_str().unwrap().to_owned();
    let set = post(format!("/v1/auth/machines/{id}/secret"), json!({})).await;
    let secret = set.body["secret"].as_str().unwrap().to_owned();
    let ask = |tenant: &str| {
        let request = world.anonymous(Method::POST, &format!("/t/{tenant}/token"));
        request.basic_auth(&id, Some(&secret)).form(&[("grant_type", "client_credentials")])
    };
    let token = Answer::of(ask("other")).await.body["access_token"].as_str().unwrap().to_owned();
    assert_eq!(Answer::of(reads(&world, &token)).await.status, StatusCode::NOT_FOUND, "good for its own tenant");
    // The machine can't get a token at our token endpoint, ...
    let at_ours = Answer::of(ask("acme")).await;
    assert_eq!((at_ours.status, at_ours.body["error"].as_str()), (StatusCode::UNAUTHORIZED, Some("invalid_client")));
    // ... nor by changing the issuer or the tenant in its token, because the signature does not match then.
    let signature = token.rsplit('.').next().unwrap();
    let mut tokens = Vec::new();
    for (claim, value) in [("iss", json!(issuer(&world))), ("tenant", json!(world.tenant.to_string()))] {
        let mut said = claims(&token);
        said[claim] = value;
        tokens.push((claim, assemble(&header(&token), &said, signature)));
    }
    all_refused(&world, tokens, "token_invalid").await;
    // Introspection by another tenant reveals nothing about the token.
    let machine = Machine::register(&world, "ours", &["admin"]).await;
    let seen = world.anonymous(Method::POST, "/t/acme/introspect").basic_auth(&machine.id, Some(&machine.secret));
    assert_eq!(Answer::of(seen.form(&[("token", &token)])).await.body, json!({ "active": false }));
    let path = format!("/v1/auth/machines/{id}");
    world.refuses(vec![(world.request(Method::GET, &path), StatusCode::NOT_FOUND, "not_found")]).await;
}

#[tokio::test]
async fn attack_06_a_token_of_another_type_audience_or_issuer() {
    let world = World::start().await;
    let token = Machine::register(&world, "m", &["viewer"]).await.token(&world).await;
    let signature = token.rsplit('.').next().unwrap();
    let with = |member: &str, value: Value| {
        let mut head = header(&token);
        head[member] = value;
        assemble(&head, &claims(&token), signature)
    };
    all_refused(
        &world,
        vec![("an ID token", with("typ", json!("JWT"))), ("no type", with("typ", Value::Null))],
        "token_type",
    )
    .await;
    let mut foreign = claims(&token);
    foreign["iss"] = json!(format!("{}/t/nobody", world.url));
    all_refused(&world, vec![("nobody's", assemble(&header(&token), &foreign, signature))], "token_issuer").await;
}

#[tokio::test]
async fn attack_07_secrets_are_not_found_out_by_trying() {
    let world = World::start().await;
    let machine = Machine::register(&world, "m", &["viewer"]).await;
    let attempt = |id: &str, secret: &str| {
        token_endpoint(&world).basic_auth(id, Some(secret)).form(&[("grant_type", "client_credentials")])
    };
    // Unknown and known clients get the same answer.
    let unknown = Answer::of(attempt("0197a8a0-0000-7000-8000-000000000001", "x")).await;
    let before = world.head_of(&world.auth).await;
    let wrong = Answer::of(attempt(&machine.id, "x")).await;
    assert_eq!((unknown.status, &unknown.body), (wrong.status, &wrong.body));
    assert_eq!(world.head_of(&world.auth).await, before + 1, "one record of it");
    // After a few failures, further attempts are neither checked nor recorded.
    let mut refused = 0;
    for _ in 0..30 {
        let answer = Answer::of(attempt(&machine.id, "x")).await;
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            assert!(answer.header("retry-after").parse::<u64>().is_ok(), "{answer:?}");
            refused += 1;
        }
    }
    assert!(refused >= 20, "{refused} of 30 were slowed down");
    assert!(world.head_of(&world.auth).await <= before + 11, "each attempt was recorded");
    // The correct secret still works.
    machine.token(&world).await;
}

#[tokio::test]
async fn attack_115_which_clients_there_are_is_not_told_by_who_is_slowed_down() {
    let world = World::start().await;
    let machine = Machine::register(&world, "m", &["viewer"]).await;
    let unknown = |number: u32| format!("0197a8a0-0000-7000-8000-{number:012}");
    let tries = async |id: &str| {
        let attempt = token_endpoint(&world).basic_auth(id, Some("x")).form(&[("grant_type", "client_credentials")]);
        Answer::of(attempt).await.status
    };
    // After a burst of attempts with unknown ids, attempts with another unknown id and with a known one get the same answer.
    for number in 0..20 {
        tries(&unknown(number)).await;
    }
    assert_eq!(tries(&unknown(20)).await, tries(&machine.id).await);
    // So do repeated attempts with the same ids.
    let (mut of_nobody, mut of_somebody) = (Vec::new(), Vec::new());
    for _ in 0..12 {
        of_nobody.push(tries(&unknown(20)).await);
        of_somebody.push(tries(&machine.id).await);
    }
    assert_eq!(of_nobody, of_somebody);
    assert!(of_nobody.contains(&StatusCode::TOO_MANY_REQUESTS), "{of_nobody:?}");
}

#[tokio::test]
async fn attack_116_somebody_elses_idempotency_key_is_no_way_to_be_told_what_they_were() {
    let world = World::start().await;
    let post = |subject: &str| {
        let token = world.token_of(subject, &[Role::Admin]);
        let request = world.anonymous(Method::POST, "/v1/crm/leads").bearer_auth(token);
        request.header("idempotency-key", "1").json(&json!({ "name": "Ada" }))
    };
    let first = Answer::of(post("ada")).await;
    assert_eq!(first.status, StatusCode::CREATED, "{first:?}");
    world.refuses(vec![(post("grace"), StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused")]).await;
    let again = Answer::of(post("ada")).await;
    assert_eq!((again.status, &again.body["id"]), (StatusCode::CREATED, &first.body["id"]), "{again:?}");
}

#[tokio::test]
async fn attack_180_nobody_uses_the_id_of_a_jobs_or_a_sagas_command_before_it_does() {
    let world = World::start().await;
    let post = |path: &str, key: &str| {
        let token = world.token_of("ada", &[Role::Admin]);
        world.anonymous(Method::POST, path).bearer_auth(token).header("idempotency-key", key)
    };
    let lead = |key: &str| post("/v1/crm/leads", key).json(&json!({ "name": "Ada" }));
    let import = |key: &str| post("/v1/crm/leads/import", key).header("content-type", "text/csv").body("name\nAda\n");
    let (job, saga) = ("job 0197a8a0-0000-7000-8000-000000000001", "saga 0197a8a0-0000-7000-8000-000000000001");
    let (step, ending) = (format!("{saga} escalate 0 do"), format!("{saga}-last"));
    let mut cases = Vec::new();
    for reserved in [job, saga, step.as_str(), ending.as_str()] {
        for request in [lead(reserved), import(reserved)] {
            cases.push((request, StatusCode::BAD_REQUEST, "header_invalid"));
        }
    }
    world.refuses(cases).await;
    for free in ["job 7", "saga of may"] {
        assert_eq!(Answer::of(lead(free)).await.status, StatusCode::CREATED, "{free}");
    }
}

#[tokio::test]
async fn attack_08_parameters_that_are_there_twice_or_in_two_ways() {
    let world = World::start().await;
    let machine = Machine::register(&world, "m", &["viewer"]).await;
    let before = world.head_of(&world.auth).await;
    let kind = ("content-type", "application/x-www-form-urlencoded");
    let double = token_endpoint(&world)
        .header(kind.0, kind.1)
        .basic_auth(&machine.id, Some(&machine.secret))
        .body("grant_type=client_credentials&scope=crm:lead:read&scope=api");
    let both = machine.asks(&world, &[("client_id", machine.id.as_str()), ("client_secret", machine.secret.as_str())]);
    let in_query = world.anonymous(
        Method::POST,
        &format!(
            "/t/acme/token?grant_type=client_credentials&client_id={}&client_secret={}",
            machine.id, machine.secret
        ),
    );
    let json = token_endpoint(&world).json(&json!({ "grant_type": "client_credentials" }));
    for request in [double, both, in_query, json] {
        let answer = Answer::of(request).await;
        assert_eq!((answer.status, answer.body["error"].as_str()), (StatusCode::BAD_REQUEST, Some("invalid_request")));
    }
    assert_eq!(world.head_of(&world.auth).await, before, "something was written");
}
