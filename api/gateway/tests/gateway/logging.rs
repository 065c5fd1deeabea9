//! Log injection: text of clients must not forge log lines.

use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::personal::Logged;
use crate::world::{Form, World};

/// A text that would be a log line of its own, in other colours, if it were logged unescaped.
const FORGED: &str = "x\r\n2026-01-01T00:00:00.000000Z  INFO FORGED\u{1b}[31m\u{9b}2K\u{8}\u{2028}{\"level\":\"INFO\"}\n{\"level\":\"ERROR\",\"FORGED\":1}";

/// The id of a lead that does not exist.
const LEAD: &str = "0197a8a0-0000-7000-8000-000000000001";

/// Sends the text in bodies and names of operations.
async fn sends_it_in_bodies(world: &World) {
    let operations = [
        ("/v1/crm/leads", json!({ "name": FORGED })),
        ("/v1/crm/leads", json!({ "name": "Ada", FORGED: 1 })),
        (&*format!("/v1/crm/leads/{LEAD}/disqualify"), json!({ "reason": FORGED })),
        ("/v1/user/invitations", json!({ "email": FORGED, "name": FORGED, "roles": [FORGED] })),
        ("/v1/user/users", json!({ "email": "eve@example.com", "name": FORGED, "roles": [FORGED] })),
        ("/v1/user/roles", json!({ "name": FORGED, "title": FORGED, "permissions": [FORGED] })),
        ("/v1/user/invitations/accept", json!({ "link": FORGED, "name": FORGED })),
        ("/v1/user/domains", json!({ "domain": FORGED })),
        ("/v1/auth/machines", json!({ "name": FORGED, "roles": [FORGED] })),
        ("/v1/auth/clients", json!({ "name": FORGED, "redirect_uris": [FORGED] })),
        ("/graphql", json!({ "query": FORGED, "operationName": FORGED })),
        (
            "/graphql",
            json!({ "query": "query($x: String) { __typename }", "variables": { "x": FORGED, FORGED: FORGED } }),
        ),
    ];
    for (path, body) in operations {
        world.post(path, body).await;
    }
}

/// Sends the text to the sign-in pages and protocols.
async fn sends_it_in_forms(world: &World) {
    for path in [
        "/t/acme/token",
        "/t/acme/introspect",
        "/t/acme/login",
        "/t/acme/forgot",
        "/t/acme/device_authorization",
        "/t/acme/saml",
    ] {
        let names =
            ["grant_type", "client_id", "client_secret", "token", "login", "password", "pending", "scope", "email"];
        let form = names.map(|name| (name, FORGED));
        world.anonymous(Method::POST, path).header("accept", "text/html").form(&form).send().await.unwrap();
        world.anonymous(Method::POST, path).basic_auth(FORGED, Some(FORGED)).form(&form[..1]).send().await.unwrap();
        let assertion = [("client_assertion", FORGED), ("client_assertion_type", FORGED)];
        world.anonymous(Method::POST, path).form(&assertion).send().await.unwrap();
    }
}

/// Sends the text in files and paths.
async fn sends_it_in_files_and_paths(world: &World) {
    let csv = world.request(Method::POST, "/v1/crm/leads/import").header("content-type", "text/csv");
    csv.body(format!("name,{FORGED}\n\"{FORGED}\",x\n")).send().await.unwrap();
    let scim = world.request(Method::POST, "/scim/v2/Users").header("content-type", "application/scim+json");
    scim.body(json!({ "userName": FORGED, "displayName": FORGED, FORGED: FORGED }).to_string()).send().await.unwrap();
    let quoted: String = url::form_urlencoded::byte_serialize(FORGED.as_bytes()).collect();
    for path in
        ["/v1/crm/leads/", "/t/", "/v1/", "/graphql?query=", "/t/acme/authorize?client_id=", "/v1/events/feed?types="]
    {
        let request = world.request(Method::GET, &format!("{path}{quoted}"));
        request.header("accept", "text/html").send().await.unwrap();
    }
}

/// Sends the text in headers, written by hand, because HTTP clients refuse line breaks in them: with allowed and with forbidden bytes.
async fn sends_it_in_headers(world: &World) {
    for value in ["x\u{9b}31mFORGED", "x\u{1b}[31mFORGED", "x\u{b}FORGED", "x\rFORGED"] {
        for name in [
            "user-agent",
            "x-request-id",
            "traceparent",
            "accept-language",
            "authorization",
            "x-tenant-id",
            "idempotency-key",
        ] {
            let mut connection = tokio::net::TcpStream::connect(world.url.trim_start_matches("http://")).await.unwrap();
            let request =
                format!("GET /v1/crm/leads/{LEAD} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{name}: {value}\r\n\r\n");
            connection.write_all(request.as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            // The connection may be reset or answered.
            let _ = connection.read_to_end(&mut answer).await;
        }
    }
}

/// Every line of the log, as text and as JSON, is one of ours.
fn is_ours_line_by_line(text: &str, lines: &str) {
    let is_plain = |c: char| !c.is_control() || c == '\n';
    for (number, line) in text.lines().enumerate() {
        // Our lines begin with a time and a level; a forged line would begin with the injected text.
        let colourless = line.replace("\u{1b}[", "");
        assert!(!line.starts_with("2026-01-01T00:00:00.000000Z"), "line {number} is forged: {colourless}");
        assert!(!line.starts_with('{'), "line {number} is forged: {colourless}");
        assert!(!line.contains("FORGED\u{1b}"), "line {number} has others' colours: {colourless}");
    }
    assert!(
        !text.contains(['\u{9b}', '\u{8}', '\r', '\u{b}', '\u{2028}']),
        "a character that moves others is logged as it came"
    );
    for line in lines.lines() {
        let entry: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(entry.get("FORGED").is_none() && entry["timestamp"].is_string(), "{line}");
        assert!(line.chars().all(is_plain), "{line:?}");
    }
}

#[tokio::test]
async fn attack_94_a_text_that_forges_lines_of_the_log() {
    let (text, lines) = (Logged::default(), Logged::default());
    let all = || EnvFilter::new("debug,sqlx=off");
    tracing_subscriber::registry()
        .with(gateway::telemetry::lines(false, text.clone()).with_filter(all()))
        .with(gateway::telemetry::lines(true, lines.clone()).with_filter(all()))
        .init();
    let world = World::start().await;
    sends_it_in_bodies(&world).await;
    sends_it_in_forms(&world).await;
    sends_it_in_files_and_paths(&world).await;
    sends_it_in_headers(&world).await;
    let (text, lines) = (text.text(), lines.text());
    assert!(
        text.contains("FORGED") && lines.contains("FORGED"),
        "nothing of it is logged: this looks in the wrong place"
    );
    is_ours_line_by_line(&text, &lines);
}
