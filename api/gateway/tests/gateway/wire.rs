//! Hand-written requests that no HTTP client would send: each gets a problem document, and nothing is written. Also HTTP/2 without TLS,
//! which few clients support.

use futures::future::join_all;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::world::{Answer, World};

/// Everything that the server sends on a connection on which this is sent, until it ends.
async fn told(world: &World, said: &[u8]) -> Vec<Answer> {
    let mut connection = TcpStream::connect(world.server.as_ref().unwrap().addr()).await.unwrap();
    connection.write_all(said).await.unwrap();
    let mut heard = Vec::new();
    connection.read_to_end(&mut heard).await.unwrap();
    let mut rest = std::str::from_utf8(&heard).unwrap();
    let mut answers = Vec::new();
    while !rest.is_empty() {
        let (head, body) = rest.split_once("\r\n\r\n").unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap();
        let headers: HeaderMap = lines
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (HeaderName::try_from(name).unwrap(), HeaderValue::from_str(value).unwrap()))
            .collect();
        let length = headers["content-length"].to_str().unwrap().parse().unwrap();
        let (body, next) = body.split_at(length);
        let body = serde_json::from_str(body).unwrap_or(Value::Null);
        answers.push(Answer { status: StatusCode::from_bytes(status.as_bytes()).unwrap(), headers, body });
        rest = next;
    }
    answers
}

/// The only response.
async fn told_once(world: &World, said: &[u8]) -> Answer {
    let mut answers = told(world, said).await;
    assert_eq!(answers.len(), 1, "{answers:?}");
    answers.remove(0)
}

#[tokio::test]
async fn what_can_not_be_read_as_a_request_gets_a_problem_document_too() {
    let world = World::start().await;
    let get = |target: &str, headers: &str| format!("GET {target} HTTP/1.1\r\nhost: x\r\n{headers}\r\n").into_bytes();
    // A request head of the maximal size, without an end.
    let endless = |head: &str| format!("{head}{}", "y".repeat(8_192 + 4_096 * 100 - head.len())).into_bytes();
    let before = world.head().await;
    for (said, status, code) in [
        (b"NONSENSE\r\n\r\n".to_vec(), 400, "request_malformed"),
        (b"GET /health HTTP/9.9\r\nhost: x\r\n\r\n".to_vec(), 400, "request_malformed"),
        (get("/health", "no colon\r\n"), 400, "request_malformed"),
        (get("/health", "na me: x\r\n"), 400, "request_malformed"),
        (get("/health", "x: a\0b\r\n"), 400, "request_malformed"),
        (get("/health", "content-length: 1\r\ncontent-length: 2\r\n"), 400, "request_malformed"),
        (get("/health", "transfer-encoding: rot13\r\n"), 400, "request_malformed"),
        (get(&format!("/{}", "x".repeat(66_000)), ""), 414, "uri_too_long"),
        (get("/health", &"x: y\r\n".repeat(100)), 431, "headers_too_large"),
        (endless("GET /health HTTP/1.1\r\nhost: x\r\nx: "), 431, "headers_too_large"),
    ] {
        let shown = String::from_utf8_lossy(&said).chars().take(80).collect::<String>();
        let answer = told_once(&world, &said).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (status, code), "{shown} got {answer:?}");
        answer.assert_problem();
        assert_eq!((answer.header("connection"), answer.header("date").is_empty()), ("close", false), "{answer:?}");
    }
    // Also after an answered request, whose answer is not changed.
    let answers = told(&world, b"GET /health HTTP/1.1\r\nhost: x\r\n\r\nNONSENSE\r\n\r\n").await;
    assert_eq!(answers.len(), 2, "{answers:?}");
    assert_eq!((answers[0].status, &answers[0].body["status"]), (StatusCode::OK, &"alive".into()), "{answers:?}");
    assert_eq!((answers[1].status, answers[1].code()), (StatusCode::BAD_REQUEST, "request_malformed"), "{answers:?}");
    answers[1].assert_problem();
    assert_eq!(world.head().await, before);
}

#[tokio::test]
async fn a_request_names_one_host_that_can_be_one() {
    let world = World::start().await;
    let asked = |method: &str, hosts: &str| {
        format!(
            "{method} /v1/crm/leads HTTP/1.1\r\n{hosts}authorization: Bearer {}\r\ncontent-type: application/json\r\n\
             content-length: 14\r\nconnection: close\r\n\r\n{{\"name\":\"Ada\"}}",
            world.token(&[kernel::Role::Admin])
        )
        .into_bytes()
    };
    let before = world.head().await;
    for hosts in ["", "host: a\r\nhost: a\r\n", "host: \r\n", "host: a b\r\n", "host: a/b\r\n", "host: a:b\r\n"] {
        for method in ["POST", "OPTIONS"] {
            let answer = told_once(&world, &asked(method, hosts)).await;
            assert_eq!((answer.status.as_u16(), answer.code()), (400, "header_invalid"), "{hosts:?}: {answer:?}");
            assert_eq!(answer.body["header"], "host", "{answer:?}");
            answer.assert_problem();
        }
    }
    assert_eq!(world.head().await, before);
    for host in ["host: inopsio.example\r\n", "host: [::1]:8080\r\n"] {
        assert_eq!(told_once(&world, &asked("POST", host)).await.status, StatusCode::CREATED, "{host}");
    }
    // HTTP/1.0 does not require the header.
    let answer = told_once(&world, b"GET /health HTTP/1.0\r\n\r\n").await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
}

#[tokio::test]
async fn attack_183_a_request_with_two_lengths_carries_no_other_request() {
    let world = World::start().await;
    let token = world.token(&[kernel::Role::Admin]);
    let head = |name: &str, framing: &str| {
        format!(
            "POST /v1/crm/leads HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\
             content-type: application/json\r\nidempotency-key: {name}\r\n{framing}\r\n"
        )
    };
    let chunked = "e\r\n{\"name\":\"Ada\"}\r\n0\r\n\r\n";
    let hidden = format!("{}{{\"name\":\"Eve\"}}", head("hidden", "content-length: 14\r\n"));
    // The length for which the hidden request is a part of the body, and one for which it begins within the chunks.
    let lengths = [chunked.len() + hidden.len(), 3];
    for (place, length) in lengths.into_iter().enumerate() {
        let (by_length, by_chunks) = (format!("content-length: {length}\r\n"), "transfer-encoding: chunked\r\n");
        for (order, framing) in
            [format!("{by_length}{by_chunks}"), format!("{by_chunks}{by_length}")].iter().enumerate()
        {
            let before = world.head().await;
            let name = format!("shown-{place}-{order}");
            let sent = format!("{}{chunked}{hidden}", head(&name, framing));
            let answer = told_once(&world, sent.as_bytes()).await;
            assert_eq!(
                (answer.status, answer.header("connection")),
                (StatusCode::CREATED, "close"),
                "{framing}: {answer:?}"
            );
            assert_eq!(world.head().await, before + 1, "{framing}: the hidden request was carried out");
        }
    }
}

#[tokio::test]
async fn over_http_2_requests_share_a_connection_and_need_not_name_their_host_twice() {
    let world = World::start().await;
    let client = Client::builder(TokioExecutor::new()).http2_only(true).build_http::<String>();
    let asked = |host: Option<&str>| {
        let request = http::Request::get(format!("{}/health", world.url));
        let request = host.into_iter().fold(request, |request, host| request.header("host", host));
        client.request(request.body(String::new()).unwrap())
    };
    for answer in join_all((0..20).map(|_| asked(None))).await {
        let answer = answer.unwrap();
        assert_eq!((answer.status(), answer.version()), (StatusCode::OK, http::Version::HTTP_2));
    }
    // If the header is sent with HTTP/2, it must name the same host.
    let same = world.url.strip_prefix("http://").unwrap();
    assert_eq!(asked(Some(same)).await.unwrap().status(), StatusCode::OK);
    for other in ["a b", "a.example"] {
        let refused = asked(Some(other)).await.unwrap();
        assert_eq!(refused.status(), StatusCode::BAD_REQUEST, "{other}");
        assert_eq!(refused.headers()["content-type"], "application/problem+json");
    }
}
