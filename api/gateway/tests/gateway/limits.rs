//! Limits: rate limits, origins, timeouts.

use std::cell::Cell;
use std::time::{Duration, Instant};

use futures::StreamExt;
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::world::{Answer, World};

#[tokio::test]
async fn who_asks_too_often_waits_and_others_do_not() {
    let world = World::start_with(|config| {
        config.rate_limits.token_per_second = 1;
        config.rate_limits.token_burst = 3;
    })
    .await;
    let unknown = "/v1/crm/leads/0197a8a0-0000-7000-8000-000000000001";
    let before = world.head().await;
    // The bucket refills each second, so an attempt that took longer than a second is repeated with another token.
    let (tries, taken) = (Cell::new(0), Cell::new(0));
    let (answers, refused) = testbed::eventually("four requests within a second", async || {
        tries.set(tries.get() + 1);
        let token = world.token_of(&format!("ada {}", tries.get()), &[kernel::Role::Admin]);
        let ask = |method, path: &str| world.anonymous(method, path).bearer_auth(&token);
        let begin = Instant::now();
        let mut answers = Vec::new();
        for _ in 0..3 {
            answers.push(Answer::of(ask(Method::GET, unknown)).await);
        }
        let last = Answer::of(ask(Method::POST, "/v1/crm/leads").json(&json!({ "name": "Ada" }))).await;
        taken.set(taken.get() + i64::from(last.status == StatusCode::CREATED));
        (begin.elapsed() < Duration::from_secs(1)).then_some((answers, last))
    })
    .await;
    for (answer, left) in answers.iter().zip([2, 1, 0]) {
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
        assert_eq!(answer.header("ratelimit-limit"), "3");
        assert_eq!(answer.header("ratelimit-remaining"), left.to_string());
    }
    assert_eq!((refused.status, refused.code()), (StatusCode::TOO_MANY_REQUESTS, "rate_limited"), "{refused:?}");
    refused.assert_problem();
    assert_eq!(refused.header("retry-after"), "1");
    assert_eq!(refused.header("ratelimit-remaining"), "0");
    assert_eq!(world.head().await, before + taken.get());
    let another = world.anonymous(Method::GET, unknown).bearer_auth(world.stranger());
    assert_eq!(Answer::of(another).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_tenants_tokens_share_its_limit() {
    let world = World::start_with(|config| {
        config.rate_limits.tenant_per_second = 1;
        config.rate_limits.tenant_burst = 2;
    })
    .await;
    let path = "/v1/crm/leads/0197a8a0-0000-7000-8000-000000000001";
    // Each token is used once, and a dozen concurrent requests exceed the tenant's limit even if it refills meanwhile.
    let tokens = (0..12).map(|number| world.token_of(&format!("ada {number}"), &[kernel::Role::Viewer]));
    let asked = tokens.map(|token| Answer::of(world.anonymous(Method::GET, path).bearer_auth(token)));
    let answers = futures::future::join_all(asked).await;
    let (limited, let_in): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.code() == "rate_limited");
    assert!(let_in.len() >= 2 && !limited.is_empty(), "{answers:?}");
    assert!(let_in.iter().all(|answer| answer.status == StatusCode::NOT_FOUND), "{let_in:?}");
}

#[tokio::test]
async fn scripts_of_allowed_origins_may_call_and_others_may_not() {
    let world = World::start_with(|config| config.http.cors_origins = vec!["https://app.example.com".to_owned()]).await;
    let preflight = |origin: &str| {
        world
            .anonymous(Method::OPTIONS, "/v1/crm/leads")
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization, idempotency-key")
    };
    let allowed = Answer::of(preflight("https://app.example.com")).await;
    assert_eq!(allowed.status, StatusCode::NO_CONTENT);
    assert_eq!(allowed.header("access-control-allow-origin"), "https://app.example.com");
    let named: Vec<&str> = allowed.header("access-control-allow-headers").split(", ").collect();
    // Scripts may send every header that the contract names.
    let contract = world.get("/openapi.json").await.body;
    let operations = contract["paths"].as_object().unwrap().values().flat_map(|all| all.as_object().unwrap().values());
    let parameters = operations.flat_map(|operation| operation["parameters"].as_array().into_iter().flatten());
    for parameter in parameters.filter(|parameter| parameter["in"] == "header") {
        let name = parameter["name"].as_str().unwrap().to_lowercase();
        assert!(named.contains(&name.as_str()), "{name} is not among {named:?}");
    }
    let refused = Answer::of(preflight("https://evil.example.com")).await;
    assert_eq!(refused.header("access-control-allow-origin"), "");
    assert_eq!(refused.header("access-control-allow-methods"), "");

    let get = |origin: &str| world.request(Method::GET, "/health").header("origin", origin);
    let allowed = Answer::of(get("https://app.example.com")).await;
    assert_eq!(allowed.header("access-control-allow-origin"), "https://app.example.com");
    assert!(allowed.header("access-control-expose-headers").contains("etag"));
    assert_eq!(Answer::of(get("https://evil.example.com")).await.header("access-control-allow-origin"), "");
}

#[tokio::test]
async fn a_request_keeps_its_id() {
    let world = World::start().await;
    let id = "0197a8a0-0000-7000-8000-00000000abcd";
    let given = Answer::of(world.anonymous(Method::GET, "/health").header("x-request-id", id)).await;
    assert_eq!(given.header("x-request-id"), id);
    let word = || world.anonymous(Method::GET, "/health").header("x-request-id", "order-7");
    let (first, second) = (Answer::of(word()).await, Answer::of(word()).await);
    assert_eq!(first.header("x-request-id"), second.header("x-request-id"));
    assert!(first.header("x-request-id").parse::<uuid::Uuid>().is_ok());
    let long = "x".repeat(129);
    let replaced = Answer::of(world.anonymous(Method::GET, "/health").header("x-request-id", &long)).await;
    assert!(replaced.header("x-request-id").parse::<uuid::Uuid>().is_ok());
}

#[tokio::test]
async fn large_answers_are_compressed_for_those_who_ask() {
    let world = World::start().await;
    let asked = world.anonymous(Method::GET, "/openapi.json").header("accept-encoding", "br, gzip;q=0.8");
    let answer = Answer::of(asked).await;
    assert_eq!(answer.header("content-encoding"), "gzip");
    let declined = world.anonymous(Method::GET, "/openapi.json").header("accept-encoding", "gzip;q=0");
    assert_eq!(Answer::of(declined).await.header("content-encoding"), "");
    let query = r#"{ "query": "{ __schema { types { name description } } }" }"#;
    let asked = world.request(Method::POST, "/graphql").header("content-type", "application/json").body(query);
    let asked = asked.header("accept", "application/graphql-response+json").header("accept-encoding", "gzip");
    let answer = asked.send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "application/graphql-response+json");
    assert_eq!(answer.headers()["content-encoding"], "gzip");
    let small = world.anonymous(Method::GET, "/health").header("accept-encoding", "gzip");
    assert_eq!(Answer::of(small).await.header("content-encoding"), "");
}

/// A request body that starts, and ends only when the test says so.
fn slow(text: &'static str) -> (tokio::sync::oneshot::Sender<()>, reqwest::Body) {
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let begin = futures::stream::iter([Ok::<_, std::io::Error>(text.as_bytes())]);
    let rest = futures::stream::once(async { ended.await.map(|()| &b""[..]).map_err(std::io::Error::other) });
    (end, reqwest::Body::wrap_stream(begin.chain(rest)))
}

#[tokio::test]
async fn as_many_files_as_allowed_are_taken_in_at_once() {
    let world = World::start_with(|config| config.http.uploads = 1).await;
    let import = |token: String, query: &str, body: reqwest::Body| {
        let path = format!("/v1/crm/leads/import{query}");
        world.anonymous(Method::POST, &path).bearer_auth(token).header("content-type", "text/csv").body(body)
    };
    let ours = || world.token(&[kernel::Role::Admin]);
    let (end, body) = slow("name\nAda\n");
    let running = tokio::spawn(import(ours(), "", body).send());
    // Only after the file's request has arrived; otherwise this one might find no place.
    testbed::eventually("the first file comes", async || {
        let text = world.get("/metrics").await.body.as_str().unwrap().to_owned();
        (!text.contains("inopsio_http_requests_running 1\n")).then_some(())
    })
    .await;
    // With `dry_run`, so that requests before the first file is counted write nothing.
    let refused = testbed::eventually("the first file holds its place", async || {
        let answer = Answer::of(import(world.stranger(), "?dry_run=true", "name\nEve\n".into())).await;
        (answer.status != StatusCode::OK).then_some(answer)
    })
    .await;
    assert_eq!((refused.status, refused.code()), (StatusCode::SERVICE_UNAVAILABLE, "uploads_busy"), "{refused:?}");
    refused.assert_problem();
    assert_eq!((refused.header("retry-after"), &refused.body["limited"]), ("1", &json!("all")));
    let before = world.head().await;
    let busy = || import(world.stranger(), "", "name\nEve\n".into());
    world.refuses(vec![(busy(), StatusCode::SERVICE_UNAVAILABLE, "uploads_busy")]).await;
    // Other requests are not affected.
    world.lead("Grace").await;
    end.send(()).unwrap();
    assert_eq!(running.await.unwrap().unwrap().status(), StatusCode::OK);
    assert_eq!(world.head().await, before + 3, "Grace, Ada and the record of the import");
    assert_eq!(Answer::of(busy()).await.status, StatusCode::OK, "the place is free again");
}

#[tokio::test]
async fn of_a_file_that_is_not_wanted_nothing_is_read() {
    let world = World::start_with(|config| config.http.uploads = 1).await;
    let import = |token: String, path: &str| {
        // The body never ends, so reading it would take for ever.
        let (end, body) = slow("name\n");
        let request =
            world.anonymous(Method::POST, path).bearer_auth(token).header("content-type", "text/csv").body(body);
        (end, request)
    };
    let path = "/v1/crm/leads/import";
    let admin = || world.token(&[kernel::Role::Admin]);
    let (_a, viewer) = import(world.token(&[kernel::Role::Viewer]), path);
    let (_b, matched) = import(admin(), path);
    let (_c, parameter) = import(admin(), &format!("{path}?source=telepathy"));
    let (_d, typed) = import(admin(), path);
    let (_e, any) = import(admin(), path);
    world
        .refuses(vec![
            (viewer, StatusCode::FORBIDDEN, "permission_missing"),
            (matched.header("if-match", "\"1\""), StatusCode::BAD_REQUEST, "header_invalid"),
            (any.header("if-match", "*"), StatusCode::BAD_REQUEST, "header_invalid"),
            (parameter, StatusCode::BAD_REQUEST, "parameter_invalid"),
            (
                typed.header("content-encoding", "gzip"),
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "content_encoding_unsupported",
            ),
        ])
        .await;
}

#[tokio::test]
async fn a_connection_on_which_nothing_comes_is_closed_and_one_on_which_a_request_runs_is_not() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let world = World::start_with(|config| (config.http.timeout_seconds, config.http.idle_seconds) = (5, 1)).await;
    let mut silent = tokio::net::TcpStream::connect(world.server.as_ref().unwrap().addr()).await.unwrap();
    silent.write_all(b"GET /health HTT").await.unwrap();
    // The body stalls until the request times out, which takes longer than the idle timeout.
    let (_end, body) = slow("{\"name\":");
    let request = world.request(Method::POST, "/v1/crm/leads").header("content-type", "application/json").body(body);
    let answer = Answer::of(request).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::GATEWAY_TIMEOUT, "request_timeout"), "{answer:?}");
    let mut said = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), silent.read_to_end(&mut said));
    // The connection is closed or reset.
    let _ = read.await.expect("an end");
    assert!(said.is_empty(), "nothing was asked: {said:?}");
    assert_eq!(world.head().await, 0);
}

#[tokio::test]
async fn a_connection_on_which_a_request_drips_is_cut() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let world = World::start_with(|config| (config.http.timeout_seconds, config.http.idle_seconds) = (1, 1)).await;
    let connection = tokio::net::TcpStream::connect(world.server.as_ref().unwrap().addr()).await.unwrap();
    let (mut answer, mut request) = connection.into_split();
    request.write_all(b"GET /health HTTP/1.1\r\nx-drip: ").await.unwrap();
    // The pauses are shorter than the idle timeout.
    let dripping = tokio::spawn(async move {
        let mut drops = tokio::time::interval(Duration::from_millis(100));
        while request.write_all(b"x").await.is_ok() {
            drops.tick().await;
        }
    });
    let mut said = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), answer.read_to_end(&mut said));
    let _ = read.await.expect("an end");
    assert!(said.is_empty(), "nothing was asked: {said:?}");
    tokio::time::timeout(Duration::from_secs(20), dripping).await.expect("nobody listens any more").unwrap();
}
