//! Secrets: uses every kind of secret, and checks that they appear in nothing that others can read.

use std::sync::Arc;

use auth_api::totp::Authenticator;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kernel::{Clock, SystemClock};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use testbed::{Browser, Shown, base32, eventually};

use crate::assertions::{Signer, shows};
use crate::issuers::{Machine, issuer, reads, token_endpoint};
use crate::personal::Logged;
use crate::saml_attacks::{connected, says};
use crate::sign_in::{self, App, PASSWORD, invited, mailed_link, signs_in};
use crate::traces;
use crate::world::{Answer, Form, World};

const ADA: &str = "ada@people.example";
const NEW_PASSWORD: &str = "seven-canaries-under-tin";
const WRONG_PASSWORD: &str = "another-canary-that-is-not-it";
const WRONG_SECRET: &str = "inm_a-canary-that-is-no-secret-of-theirs";

/// The secrets that must appear nowhere, and the refusals of the run.
#[derive(Default)]
struct Run {
    secrets: Vec<(&'static str, String)>,
    refusals: Vec<String>,
}

impl Run {
    /// Registers a secret that the run uses; returns it.
    fn keep(&mut self, what: &'static str, secret: &str) -> String {
        assert!(secret.len() >= 10, "{what}: too short to be looked for");
        self.secrets.push((what, secret.to_owned()));
        secret.to_owned()
    }

    fn keep_of(&mut self, what: &'static str, body: &Value, member: &str) -> String {
        let secret = body[member].as_str().unwrap_or_else(|| panic!("no {member} in {body}"));
        self.keep(what, secret)
    }

    /// Registers the text of a refusal.
    async fn refused(&mut self, request: RequestBuilder) {
        let answer = Answer::of(request).await;
        assert!(answer.status.is_client_error(), "{answer:?}");
        self.refusals.push(format!("{answer:?}"));
    }

    /// Registers an error page. (Its form contains the link by which it was opened, for the next attempt.)
    fn shown(&mut self, shown: &Shown) {
        assert!(shown.status.is_client_error(), "{shown:?}");
        self.refusals.push(format!("{shown:?}"));
    }

    /// The secrets that occur in a text.
    fn leaks(&self, text: &str) -> Vec<&'static str> {
        let stands = |secret: &str| {
            let encoded: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
            // Also finds a truncated secret.
            let middle = (secret.len() / 2).saturating_sub(8);
            let part = secret.get(middle..(middle + 16).min(secret.len())).unwrap_or(secret);
            [secret, &encoded, part].iter().any(|needle| text.contains(needle))
        };
        self.secrets.iter().filter(|(_, secret)| stands(secret)).map(|(what, _)| *what).collect()
    }
}

fn parameter(link: &str) -> &str {
    link.rsplit('=').next().unwrap()
}

/// A person: invited, with a second factor, who signs in, mistypes the password, and sets a new one.
async fn person(run: &mut Run, world: &World, app: &App) -> Browser {
    run.keep("a password", PASSWORD);
    let mut browser = invited(world, ADA, &["viewer"]).await;
    let link = mailed_link(world, ADA, "You are invited").await;
    let invitation = run.keep("a mailed invitation", parameter(&link));
    let again = json!({ "link": invitation, "name": "Eve" });
    run.refused(world.anonymous(Method::POST, "/v1/user/invitations/accept").json(&again)).await;
    run.keep("the cookie of a session", &browser.cookies["inopsio-acme"]);

    let page = browser.open(&format!("{}/account/authenticator", issuer(world))).await;
    let codes = |page: &Shown| {
        let parts = page.body.split("<span class=\"code\">").skip(1);
        parts.map(|part| part.split('<').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let key = run.keep("an authenticator's key", &codes(&page)[0].replace(' ', ""));
    let code = Authenticator::of(&base32(&key)).unwrap().code(SystemClock.now()).unwrap();
    let pending = page.hidden("pending");
    let fields = [("pending", pending.as_str()), ("code", code.as_str())];
    let enrolled = browser.submit(&format!("{}/account/authenticator", issuer(world)), &fields).await;
    assert_eq!(enrolled.status, StatusCode::OK, "{enrolled:?}");
    let recovery = codes(&enrolled);
    assert_eq!(recovery.len(), 10, "{enrolled:?}");
    for code in &recovery {
        run.keep("a recovery code", code);
    }

    run.keep("a password that is wrong", WRONG_PASSWORD);
    let mut other = Browser::default();
    let wrong = signs_in(world, &mut other, app, ADA, WRONG_PASSWORD).await;
    run.shown(&wrong);
    let page = signs_in(world, &mut other, app, ADA, PASSWORD).await;
    let pending = page.hidden("pending");
    let code = async |browser: &mut Browser, code: &str| {
        let fields = [("pending", pending.as_str()), ("code", code)];
        browser.submit(&format!("{}/code", issuer(world)), &fields).await
    };
    let wrong = code(&mut other, "canary-that-is-no-code").await;
    run.shown(&wrong);
    code(&mut other, &recovery[0]).await.code();
    let used = signs_in(world, &mut Browser::default(), app, ADA, PASSWORD).await.hidden("pending");
    let fields = [("pending", used.as_str()), ("code", recovery[0].as_str())];
    let used = Browser::default().submit(&format!("{}/code", issuer(world)), &fields).await;
    run.shown(&used);

    Browser::default().submit(&format!("{}/forgot", issuer(world)), &[("login", ADA)]).await;
    let link = mailed_link(world, ADA, "Set a new password").await;
    let token = run.keep("a mailed link to set a password", parameter(&link));
    run.keep("a new password", NEW_PASSWORD);
    let fields = [("token", token.as_str()), ("password", NEW_PASSWORD)];
    let set = Browser::default().submit(&format!("{}/password", issuer(world)), &fields).await;
    assert!(set.status.is_success() || set.status.is_redirection(), "{set:?}");
    Browser::default().open(&link).await;
    let spent = Browser::default().submit(&format!("{}/password", issuer(world)), &fields).await;
    run.shown(&spent);
    browser
}

/// An application: its secret, codes, tokens, devices and pushed requests, and their second use.
async fn application(run: &mut Run, world: &World, app: &App, browser: &mut Browser) {
    run.keep("a client's secret", &app.secret);
    let code = run.keep("an authorization code", &browser.open(&app.asks(world)).await.code());
    let redeems = || {
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", code.as_str()),
            ("redirect_uri", sign_in::BACK),
            ("code_verifier", sign_in::VERIFIER),
        ];
        token_endpoint(world).basic_auth(&app.id, Some(&app.secret)).form(&fields)
    };
    run.keep("a code's verifier", sign_in::VERIFIER);
    let tokens = Answer::of(redeems()).await.body;
    let refresh = run.keep_of("a refresh token", &tokens, "refresh_token");
    let access = run.keep_of("an access token", &tokens, "access_token");
    let id = run.keep_of("an ID token", &tokens, "id_token");
    Answer::of(reads(world, &access)).await;
    run.refused(reads(world, &id)).await;
    let form = |name: &'static str, value: &str| {
        let fields = [("grant_type", "refresh_token"), (name, value), ("token", value)];
        token_endpoint(world).basic_auth(&app.id, Some(&app.secret)).form(&fields)
    };
    let refreshed = Answer::of(form("refresh_token", &refresh)).await.body;
    run.keep_of("a refresh token", &refreshed, "refresh_token");
    run.refused(form("refresh_token", &refresh)).await;
    run.refused(redeems()).await;
    run.keep("a secret that is wrong", WRONG_SECRET);
    run.refused(token_endpoint(world).basic_auth(&app.id, Some(WRONG_SECRET)).form(&[("grant_type", "x")])).await;
    run.refused(token_endpoint(world).form(&[("client_id", &app.id), ("client_secret", WRONG_SECRET)])).await;
    run.refused(world.anonymous(Method::GET, "/t/acme/userinfo").bearer_auth(&refresh)).await;

    let at = |path: &str| world.anonymous(Method::POST, &format!("/t/acme/{path}"));
    let at = |path: &str| at(path).basic_auth(&app.id, Some(&app.secret));
    let asked = Answer::of(at("device_authorization").form(&[("scope", "openid")])).await.body;
    let device = run.keep_of("a device's code", &asked, "device_code");
    let grant = "urn:ietf:params:oauth:grant-type:device_code";
    run.refused(at("token").form(&[("grant_type", grant), ("device_code", &device)])).await;
    let query = app.asks(world);
    let pairs: Vec<(String, String)> =
        url::form_urlencoded::parse(query.split_once('?').unwrap().1.as_bytes()).into_owned().collect();
    let pairs: Vec<_> = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let pushed = Answer::of(at("par").form(&pairs)).await.body;
    let uri = run.keep_of("a pushed request", &pushed, "request_uri");
    let query = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs([("client_id", app.id.as_str()), ("request_uri", uri.as_str())])
        .finish();
    let refers = format!("{}/authorize?{query}", issuer(world));
    Browser::default().open(&refers).await;
    Browser::default().open(&refers.replace(&app.id, "0197a8a0-0000-7000-8000-000000000001")).await;
}

/// A machine: its secret, assertion, API key and token, and their use after the revocation.
async fn machine(run: &mut Run, world: &World) {
    let machine = Machine::register(world, "canary", &["viewer"]).await;
    run.keep("a machine's secret", &machine.secret);
    let token = run.keep("a machine's token", &machine.token(world).await);
    let (id, key) = machine.api_key(world, json!({})).await;
    run.keep("an API key", &key);
    Answer::of(reads(world, &key)).await;
    run.refused(reads(world, &format!("{key}x"))).await;
    run.refused(world.anonymous(Method::POST, "/v1/crm/leads").bearer_auth(&key).json(&json!({ "name": "Eve" }))).await;
    assert_eq!(world.post(&format!("/v1/auth/api-keys/{id}/revoke"), json!({})).await.status, StatusCode::OK);
    crate::issuers::refused_within_a_second(world, &key, &["token_revoked"]).await;
    run.refused(reads(world, &key)).await;
    let given_back = world.anonymous(Method::POST, "/t/acme/revoke").basic_auth(&machine.id, Some(&machine.secret));
    Answer::of(given_back.form(&[("token", &token)])).await;
    run.refused(reads(world, &token)).await;
    let signer = Signer::register(world, "signer").await;
    let assertion = run.keep("a client's assertion", &signer.asserts(&issuer(world), Some("canary"), 1));
    Answer::of(shows(world, "introspect", &assertion)).await;
    run.refused(shows(world, "token", &assertion)).await;
    let hook = json!({ "service": "crm", "url": "https://example.com/hook", "types": ["crm.lead.*"] });
    let made = Answer::of(world.request(Method::POST, "/v1/events/webhooks").json(&hook)).await;
    run.keep_of("a webhook's secret", &made.body, "secret");
}

/// A person signs in through an identity provider, whose assertion is then sent again.
async fn federated(run: &mut Run, world: &World) {
    let provider = connected(world).await;
    let said = STANDARD.encode(says(world, &provider, "grace@example.com", &[]));
    run.keep("an identity provider's answer", &said);
    let mut browser = Browser::default();
    let sent = browser.submit(&provider.1.acs, &[("SAMLResponse", &said)]).await;
    let finish = sent.leads_to().0;
    run.keep("what is carried on from it", parameter(&finish));
    let mut browser = Browser::default();
    browser.open(&format!("{}{finish}", world.url)).await;
    run.keep("the cookie of a session", &browser.cookies["inopsio-acme"]);
    let again = Browser::default().open(&format!("{}{finish}", world.url)).await;
    run.shown(&again);
    let begun = browser.open(&format!("{}/saml/{}/login", issuer(world), provider.1.id)).await;
    assert_eq!(begun.status, StatusCode::SEE_OTHER, "{begun:?}");
    for (name, value) in browser.cookies.clone() {
        if name.contains("saml") {
            run.keep("what the browser keeps of a request to it", &value);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_127_a_secret_stands_in_no_log_line_span_error_or_metric() {
    let (receiver, address) = traces::receive().await;
    let logged = Logged::default();
    let mut config = gateway::Config::default();
    config.telemetry.otlp_endpoint = Some(format!("http://{address}"));
    config.telemetry.sample = 1.0;
    "debug".clone_into(&mut config.log.filter);
    let telemetry = gateway::telemetry::init_into(&config, true, logged.clone()).unwrap();
    let world = sign_in::world().await;
    let mut run = Run::default();
    for (what, secret) in [
        ("the master key", "4a".repeat(32)),
        ("the key of claims", "5e".repeat(32)),
        ("the installation's signing key", world.config.auth.signing_key.reveal().lines().nth(1).unwrap().to_owned()),
        ("the password of the database", testbed::PASSWORD.to_owned()),
    ] {
        run.keep(what, &secret);
    }
    let app = App::register(&world).await;
    let mut browser = person(&mut run, &world, &app).await;
    if browser.open(&app.asks(&world)).await.status != StatusCode::SEE_OTHER {
        // All sessions ended when the new password was set.
        let page = signs_in(&world, &mut browser, &app, ADA, NEW_PASSWORD).await;
        let recovery = run.secrets.iter().filter(|(what, _)| *what == "a recovery code").nth(1).unwrap().1.clone();
        let fields = [("pending", page.hidden("pending")), ("code", recovery)];
        let fields = fields.each_ref().map(|(name, value)| (*name, value.as_str()));
        browser.submit(&format!("{}/code", issuer(&world)), &fields).await.code();
    }
    application(&mut run, &world, &app, &mut browser).await;
    machine(&mut run, &world).await;
    federated(&mut run, &world).await;

    let telemetry = Arc::new(telemetry);
    let spans = eventually("the spans of what was done arrive", async || {
        let flushing = telemetry.clone();
        tokio::task::spawn_blocking(move || flushing.flush()).await.unwrap();
        let spans = receiver.spans();
        let has = |name: &str| spans.iter().any(|span| span.name == name);
        ["POST /t/:tenant/token", "POST /t/:tenant/login", "GET /t/:tenant/saml/:connection/finish", "append"]
            .iter()
            .all(|name| has(name))
            .then_some(spans)
    })
    .await;
    let spans = format!("{spans:#?}");
    let metrics = world.get("/metrics").await.body.as_str().unwrap().to_owned();
    let lines = logged.text();
    let refusals = run.refusals.join("\n");
    // Checks that the texts contain what they should, so that the search is not empty.
    assert!(lines.contains("/t/:tenant/token") && lines.contains("serving"), "it is logged elsewhere");
    assert!(metrics.contains("/t/:tenant/token"), "{metrics}");
    for line in lines.lines() {
        let leaks = run.leaks(line);
        assert!(leaks.is_empty(), "{leaks:?} in {line}");
    }
    for (place, text) in [("a span", &spans), ("a refusal", &refusals), ("a metric", &metrics)] {
        let leaks = run.leaks(text);
        assert!(leaks.is_empty(), "{leaks:?} in {place}: {text}");
    }
    // Checks that a leak of each secret would be found.
    for (what, secret) in &run.secrets {
        tracing::info!(%secret, "this is how a leak looks");
        let text = logged.text();
        let line = text.lines().rev().find(|line| line.contains("this is how a leak looks")).unwrap();
        assert!(run.leaks(line).contains(what), "{what} is not seen in {line}");
    }
    tokio::task::spawn_blocking(move || drop(telemetry)).await.unwrap();
}
