//! Attacks on sign-in and the protocols. The numbers are those of docs/src/threat-model.md.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use face::{People, Person};
use futures::future::join_all;
use kernel::{IdSource as _, SystemIds, UserId};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use reqwest::StatusCode;
use serde_json::json;
use sha2::{Digest, Sha256};
use testbed::{Browser, form};

use crate::world::{BACK, PASSWORD, VERIFIER, Visits, World, json, worked};

#[tokio::test]
async fn attack_10_a_code_without_pkce_or_with_another_verifier() {
    let world = World::start().await;
    world.person("ada@example.com").await;
    let app = world.client(true).await;
    let mut browser = Browser::default();
    for bad in [
        [("code_challenge", ""), ("code_challenge_method", "S256")],
        [("code_challenge", VERIFIER), ("code_challenge_method", "plain")],
        [("code_challenge", VERIFIER), ("code_challenge_method", "")],
        [("code_challenge", "short"), ("code_challenge_method", "S256")],
    ] {
        let back = browser.visit(&world, &app.asks(&bad)).await;
        assert_eq!(back.leads_to().1["error"], "invalid_request", "{bad:?}");
    }
    let code = browser.signs_in(&world, &app.asks(&[]), "ada@example.com", PASSWORD).await.code();
    let other = "x".repeat(43);
    let wrong = json(app.redeems(&world, &code, &[("code_verifier", &other)]), StatusCode::BAD_REQUEST).await;
    assert_eq!(wrong["error"], "invalid_grant");
    assert_eq!(world.last_event().await.1["reason"], "code_mismatch");
    let burned = json(app.redeems(&world, &code, &[]), StatusCode::BAD_REQUEST).await;
    assert_eq!(burned["error"], "invalid_grant", "a code of which somebody has a part is worth nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_11_a_redirect_uri_that_is_nearly_the_registered_one() {
    let world = World::start().await;
    let app = world.client(true).await;
    let before = world.head().await;
    let handle = tokio::runtime::Handle::current();
    let cases = (any::<prop::sample::Index>(), "[a-zA-Z0-9./?#%@:\\\\&=_-]{0,3}", 0..3_usize);
    tokio::task::block_in_place(|| {
        let mut runner = TestRunner::new(Config { cases: 200, failure_persistence: None, ..Config::default() });
        runner
            .run(&cases, |(at, piece, cut)| {
                let at = at.index(BACK.len());
                let uri = format!("{}{piece}{}", &BACK[..at], &BACK[(at + cut).min(BACK.len())..]);
                prop_assume!(uri != BACK);
                let shown = handle.block_on(Browser::default().visit(&world, &app.asks(&[("redirect_uri", &uri)])));
                prop_assert_eq!(shown.status, StatusCode::BAD_REQUEST, "{} was taken", uri);
                prop_assert_eq!(shown.header("location"), "", "{} was followed", uri);
                Ok(())
            })
            .unwrap();
    });
    for evil in [
        "https://evil.example.com/back",
        "https://app.example.com@evil.example.com/back?x=1",
        "//evil",
        "javascript:alert(1)",
    ] {
        let shown = Browser::default().visit(&world, &app.asks(&[("redirect_uri", evil)])).await;
        assert!(shown.status == StatusCode::BAD_REQUEST && shown.header("location").is_empty(), "{evil}: {shown:?}");
    }
    assert_eq!(world.head().await, before, "something was written");
}

#[tokio::test]
async fn attack_12_a_code_that_a_hundred_bring_at_once() {
    let world = World::start().await;
    world.person("ada@example.com").await;
    let app = world.client(true).await;
    let code = Browser::default().signs_in(&world, &app.asks(&[]), "ada@example.com", PASSWORD).await.code();
    let answers = join_all((0..100).map(|_| app.redeems(&world, &code, &[]).send())).await;
    let mut tokens = Vec::new();
    for answer in answers {
        let answer = answer.unwrap();
        if answer.status() == StatusCode::OK {
            tokens.push(answer.json::<serde_json::Value>().await.unwrap());
        }
    }
    assert_eq!(tokens.len(), 1, "one is first");
    let access = tokens[0]["access_token"].as_str().unwrap();
    assert_eq!(world.provider.trust.check(access).await.unwrap_err().code(), "token_revoked", "replay ends it");
}

#[tokio::test]
async fn attack_13_a_refresh_token_that_a_hundred_bring_at_once() {
    let world = World::start().await;
    world.person("ada@example.com").await;
    let app = world.client(true).await;
    let code = Browser::default().signs_in(&world, &app.asks(&[]), "ada@example.com", PASSWORD).await.code();
    let first = json(app.redeems(&world, &code, &[]), StatusCode::OK).await;
    let refresh = first["refresh_token"].as_str().unwrap();
    let answers = join_all((0..100).map(|_| app.refreshes(&world, refresh).send())).await;
    let won = answers.iter().filter(|answer| answer.as_ref().unwrap().status() == StatusCode::OK).count();
    assert_eq!(won, 1, "one is first");
    let access = first["access_token"].as_str().unwrap();
    assert_eq!(world.provider.trust.check(access).await.unwrap_err().code(), "token_revoked", "the family has ended");
}

#[tokio::test]
async fn attack_14_a_session_that_was_there_before_signing_in() {
    let world = World::start().await;
    world.person("ada@example.com").await;
    let app = world.client(true).await;
    // The attacker signs in, and plants the session cookie in the victim's browser.
    world.person("eve@example.com").await;
    let mut attacker = Browser::default();
    attacker.signs_in(&world, &app.asks(&[]), "eve@example.com", PASSWORD).await;
    let planted = attacker.cookies["inopsio-acme"].clone();
    let mut victim = Browser::default();
    victim.cookies.clone_from(&attacker.cookies);
    let signed_in = victim.signs_in(&world, &app.asks(&[("prompt", "login")]), "ada@example.com", PASSWORD).await;
    assert_eq!(signed_in.status, StatusCode::SEE_OTHER);
    assert_ne!(victim.cookies["inopsio-acme"], planted, "signing in kept the session that was there");
    assert!(attacker.visit(&world, &app.asks(&[])).await.body.contains("Password"), "the planted session is hers now");
    // A made-up cookie gives no session.
    let mut forger = Browser::default();
    forger.cookies.insert("inopsio-acme".to_owned(), "ins_AAAA".to_owned());
    assert!(forger.visit(&world, &app.asks(&[])).await.body.contains("Password"));
}

#[tokio::test]
async fn attack_15_finding_out_who_has_an_account() {
    let world = World::start().await;
    let ada = world.person("ada@example.com").await;
    let app = world.client(true).await;
    let mut browser = Browser::default();
    // A first attempt, so that one-time initialization is not measured.
    browser.signs_in(&world, &app.asks(&[]), "warm@example.com", "x").await;
    // A user who signs in through an identity provider has no password.
    let (id, sso) = (UserId::new(SystemIds.next()), "sso@example.com".to_owned());
    let known = world.person_of("ada@example.com").await;
    world.people.put(world.tenant.id, Person { id, login: sso.clone(), email: Some(sso), ..known });
    let mut seen = Vec::new();
    // The second one may have been hashed in either of two forms.
    for wrong in ["wrong", "wrong\u{301}"] {
        let mut took = Vec::new();
        for (login, reason) in [
            ("ada@example.com", "password_wrong"),
            ("nobody@example.com", "unknown"),
            ("sso@example.com", "password_missing"),
        ] {
            let before = world.head().await;
            let start = worked();
            let shown = browser.signs_in(&world, &app.asks(&[]), login, wrong).await;
            took.push(worked().saturating_sub(start));
            assert_eq!(shown.status, StatusCode::UNAUTHORIZED);
            assert_eq!(world.head().await, before + 1, "one record of {login}");
            let (event, payload) = world.last_event().await;
            assert_eq!((event.as_str(), &payload["reason"]), ("auth.sign_in.refused", &json!(reason)));
            seen.push(shown.alert().to_owned());
        }
        // Nearly all of the time is spent on hashing, which is done in each case. If it were skipped, the time would be a tenth of that.
        assert!(took.iter().all(|one| took.iter().all(|other| *one < *other * 4)), "{took:?}");
    }
    assert!(seen.iter().all(|one| *one == seen[0]), "they are told apart by what is said: {seen:?}");
    // A user who may not sign in gets the same response, even with the right password.
    let locked = Person { may_sign_in: false, ..world.people.by_id(world.tenant.id, ada).await.unwrap().unwrap() };
    world.people.put(world.tenant.id, locked);
    let shown = browser.signs_in(&world, &app.asks(&[]), "ada@example.com", PASSWORD).await;
    assert_eq!(shown.alert(), seen[0]);
    assert_eq!(world.last_event().await.1["reason"], "may_not_sign_in");
}

#[tokio::test]
async fn attack_16_guessing_a_password() {
    let world = World::start().await;
    world.person("ada@example.com").await;
    let app = world.client(true).await;
    let mut own = Browser::default();
    own.signs_in(&world, &app.asks(&[]), "ada@example.com", PASSWORD).await.code();
    let mut browser = Browser::default();
    let before = world.head().await;
    let mut slowed = 0;
    for guess in 0..15 {
        let shown = browser.signs_in(&world, &app.asks(&[]), "ada@example.com", &format!("guess {guess}")).await;
        if shown.status == StatusCode::TOO_MANY_REQUESTS {
            assert!(shown.header("retry-after").parse::<u64>().is_ok(), "{shown:?}");
            slowed += 1;
        }
    }
    assert!(slowed >= 3, "{slowed} of 15 guesses were slowed down");
    assert!(world.head().await - before <= 12, "each guess was recorded");
    let right = browser.signs_in(&world, &app.asks(&[]), "ada@example.com", PASSWORD).await;
    assert_eq!(right.status, StatusCode::TOO_MANY_REQUESTS, "a guess that comes too soon is not even compared");
    assert!(right.body.contains("Too many attempts"), "{}", right.body);
    let theirs = own.signs_in(&world, &app.asks(&[("prompt", "login")]), "ada@example.com", PASSWORD).await;
    assert_eq!(theirs.status, StatusCode::SEE_OTHER, "the person is locked out of the browser that they use");
    let wrong = own.signs_in(&world, &app.asks(&[("prompt", "login")]), "eve@example.com", PASSWORD).await;
    assert_eq!(wrong.status, StatusCode::UNAUTHORIZED, "somebody else's name, as from any browser");
}

/// Sends so many guesses at different names through a proxy that reports these client addresses, and counts how many are slowed down.
async fn slowed(world: &World, guesses: usize, from: impl Fn(usize) -> String) -> usize {
    let mut browser = Browser::default();
    let pending = browser.visit(world, "login").await.hidden("pending");
    let mut slowed = 0;
    for guess in 0..guesses {
        let login = format!("nobody{guess}@example.com");
        let fields = [("pending", pending.as_str()), ("login", &login), ("password", "a guess")];
        let shown = browser.send(world.post("login", &fields).header("x-forwarded-for", from(guess))).await;
        slowed += usize::from(shown.status == StatusCode::TOO_MANY_REQUESTS);
    }
    slowed
}

#[tokio::test]
async fn attack_97_a_stranger_behind_the_same_proxy_keeps_nobody_out_and_forges_no_address() {
    let world = World::behind(&["127.0.0.0/8"]).await;
    world.person("ada@example.com").await;
    // Whatever a client writes in front of the address that the proxy appends.
    let held = slowed(&world, 110, |guess| format!("198.51.100.{guess}, 203.0.113.9")).await;
    assert!((1..=10).contains(&held), "{held} of 110 guesses were slowed down");
    let page = Browser::default().visit(&world, "login").await;
    let pending = page.hidden("pending");
    let fields = [("pending", pending.as_str()), ("login", "ada@example.com"), ("password", PASSWORD)];
    let from = |address: &str| world.post("login", &fields).header("x-forwarded-for", address.to_owned());
    let signed_in = Browser::default().send(from("198.51.100.7")).await;
    assert_eq!(signed_in.status, StatusCode::SEE_OTHER, "a stranger keeps somebody else out: {signed_in:?}");
    let place = world.last_session().await.started.unwrap().place;
    assert_eq!(place.address.unwrap().reveal(), "198.51.100.7");
    let beside = Browser::default().send(from("203.0.113.9")).await;
    assert_eq!(beside.status, StatusCode::TOO_MANY_REQUESTS, "the stranger's network goes on");
}

#[tokio::test]
async fn attack_97_who_is_no_proxy_of_ours_is_not_believed_from_where_they_come() {
    let world = World::start().await;
    let held = slowed(&world, 110, |guess| format!("198.51.100.{guess}")).await;
    assert!((1..=10).contains(&held), "{held} of 110 guesses were slowed down");
}

#[tokio::test]
async fn a_browser_that_somebody_uses_signs_them_in_while_a_stranger_beside_them_guesses() {
    let world = World::start().await;
    world.person("ada@example.com").await;
    let app = world.client(true).await;
    let mut own = Browser::default();
    own.signs_in(&world, &app.asks(&[]), "ada@example.com", PASSWORD).await.code();
    assert!(slowed(&world, 110, |_| String::new()).await > 0, "nobody was slowed down");
    let stranger = Browser::default().signs_in(&world, &app.asks(&[]), "ada@example.com", PASSWORD).await;
    assert_eq!(stranger.status, StatusCode::TOO_MANY_REQUESTS);
    let theirs = own.signs_in(&world, &app.asks(&[("prompt", "login")]), "ada@example.com", PASSWORD).await;
    assert_eq!(theirs.status, StatusCode::SEE_OTHER, "the person is kept out by who shares their network");
}

#[tokio::test]
async fn attack_17_a_form_on_another_sites_page() {
    let world = World::start().await;
    world.person("eve@example.com").await;
    let app = world.client(false).await;
    let mut browser = Browser::default();
    let page = browser.visit(&world, &app.asks(&[])).await.hidden("pending");
    let form = [("pending", page.as_str()), ("login", "eve@example.com"), ("password", PASSWORD)];
    let before = world.head().await;
    for (name, value) in [("origin", "https://evil.example.com"), ("origin", "null"), ("sec-fetch-site", "cross-site")]
    {
        let sent = browser.send(world.post("login", &form).header(name, value)).await;
        assert_eq!(sent.status, StatusCode::BAD_REQUEST, "{name}: {value}");
    }
    assert_eq!(world.head().await, before, "something was written");
    // The state of one session's consent page is not accepted from another session.
    let consent = browser.fill_in(&world, "login", &form).await.hidden("pending");
    world.person("ada@example.com").await;
    let mut victim = Browser::default();
    victim.signs_in(&world, &app.asks(&[]), "ada@example.com", PASSWORD).await;
    let before = world.head().await;
    let stolen = victim.fill_in(&world, "consent", &[("pending", &consent), ("decision", "allow")]).await;
    assert_eq!(stolen.status, StatusCode::BAD_REQUEST, "{stolen:?}");
    assert_eq!(world.head().await, before, "something was granted");
}

#[tokio::test]
async fn attack_18_an_id_token_as_an_access_token_and_what_is_for_others() {
    let world = World::start().await;
    world.person("ada@example.com").await;
    let app = world.client(true).await;
    let mut browser = Browser::default();
    let code =
        browser.signs_in(&world, &app.asks(&[("scope", "openid email")]), "ada@example.com", PASSWORD).await.code();
    let tokens = json(app.redeems(&world, &code, &[]), StatusCode::OK).await;
    let (id, access) = (tokens["id_token"].as_str().unwrap(), tokens["access_token"].as_str().unwrap());
    assert_eq!(world.provider.trust.check(id).await.unwrap_err().code(), "token_type");
    // Without a scope for the API, the issuer is the only audience.
    assert_eq!(world.provider.trust.check(access).await.unwrap_err().code(), "token_audience");
    json(world.get("userinfo").bearer_auth(access), StatusCode::OK).await;
    json(world.get("userinfo").bearer_auth(id), StatusCode::UNAUTHORIZED).await;
    // A refresh token or a code is not accepted as a bearer token, nor one in place of the other.
    for text in [code.as_str(), "ins_AAAA"] {
        assert!(world.provider.trust.check(text).await.is_err());
        assert_eq!(json(app.refreshes(&world, text), StatusCode::BAD_REQUEST).await["error"], "invalid_grant");
    }
}

#[tokio::test]
async fn attack_19_another_tenants_code_session_and_client() {
    let world = World::start().await;
    world.person("ada@example.com").await;
    let app = world.client(true).await;
    let mut browser = Browser::default();
    let code = browser.signs_in(&world, &app.asks(&[]), "ada@example.com", PASSWORD).await.code();
    let before = world.head().await;
    let at_other = |path: &str| format!("{}/t/other/{path}", world.url);
    let shown = browser.open(&at_other(&app.asks(&[]))).await;
    assert_eq!(shown.status, StatusCode::BAD_REQUEST, "the client is another tenant's");
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER));
    assert!(!shown.body.contains(&challenge));
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("redirect_uri", BACK),
        ("code_verifier", VERIFIER),
    ];
    let redeemed = form(world.http.post(at_other("token")), &fields).basic_auth(app.id, Some(&app.secret));
    assert_eq!(json(redeemed, StatusCode::UNAUTHORIZED).await["error"], "invalid_client");
    let cookies = std::mem::take(&mut browser.cookies);
    browser.cookies = cookies.into_iter().map(|(name, value)| (name.replace("acme", "other"), value)).collect();
    let page = browser.open(&at_other("login")).await;
    assert!(page.body.contains("Password"), "signed in at a tenant where they are not: {}", page.body);
    // Except for the other tenant's keys, which are created when its pages are first requested.
    let keys = world.head().await - before;
    assert!(keys <= 3, "{keys} events were written");
}

#[tokio::test]
async fn attack_92_a_token_of_just_before_or_after_its_time() {
    use auth_aggregates::Algorithm;
    use auth_api::authority::{TYPE, claims_at};

    let world = World::start().await;
    world.person("ada@example.com").await;
    let app = world.client(true).await;
    let tokens = app.tokens(&world, &mut Browser::default()).await;
    let access = tokens["access_token"].as_str().unwrap();
    let (tenant, signed) = world.provider.trust.verify_token(access, "inopsio").await.unwrap();
    // In whole seconds, as in tokens.
    let now = world.now();
    let whole = TimeDelta::nanoseconds(now.timestamp_subsec_nanos().into());
    world.clock.advance(TimeDelta::seconds(1) - whole);
    let check = async |issued: i64, from: Option<i64>, until: i64| {
        let at = |seconds: i64| world.now() + TimeDelta::seconds(seconds);
        let mut claims = claims_at(signed.custom.clone(), at(issued), at(until));
        claims.invalid_before = from.map(|from| auth_api::authority::seconds(at(from)));
        (claims.issuer, claims.subject, claims.jwt_id) =
            (signed.issuer.clone(), signed.subject.clone(), Some("x".to_owned()));
        claims.audiences.clone_from(&signed.audiences);
        let token = world.provider.authority.sign(&tenant, Algorithm::EdDSA, claims, TYPE).await.unwrap();
        world.provider.trust.check(&token).await.map_err(|refusal| refusal.code()).map(drop)
    };
    // The leeway for clocks is five seconds in both directions.
    for (issued, from, until, expected) in [
        (-60, None, 60, Ok(())),
        (-60, None, -5, Ok(())),
        (-60, None, -6, Err("token_expired")),
        (5, None, 60, Ok(())),
        (6, None, 60, Err("token_not_yet_valid")),
        (-60, Some(5), 60, Ok(())),
        (-60, Some(6), 60, Err("token_not_yet_valid")),
    ] {
        assert_eq!(check(issued, from, until).await, expected, "issued {issued}, from {from:?}, until {until}");
    }
    // One of our own tokens is valid for a quarter of an hour and the leeway.
    let until = TimeDelta::seconds(signed.expires_at.unwrap().as_secs().cast_signed() + 5 - world.now().timestamp());
    world.clock.advance(until);
    assert!(world.provider.trust.check(access).await.is_ok());
    world.clock.advance(TimeDelta::seconds(1));
    assert_eq!(world.provider.trust.check(access).await.unwrap_err().code(), "token_expired");
}
