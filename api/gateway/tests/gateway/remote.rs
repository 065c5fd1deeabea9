//! A gateway before a service in another process: the same responses, and the loss of an instance.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::StreamExt;
use gateway::{Server, Services, StartError};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use testbed::eventually;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::websocket::Socket;
use crate::world::{Answer, World, token};

/// The parts of a response that must not differ: status, body and headers.
fn essence(mut answer: Answer) -> (StatusCode, Value, Vec<String>) {
    // The request id differs.
    if let Some(instance) = answer.body.get_mut("instance") {
        *instance = Value::Null;
    }
    let headers = ["content-type", "etag", "x-position", "location", "idempotency-replayed", "allow", "retry-after"];
    let headers = headers.into_iter().chain(["cache-control", "www-authenticate", "x-content-type-options", "vary"]);
    let headers = headers.map(|name| format!("{name}: {}", answer.header(name))).collect();
    (answer.status, answer.body, headers)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_gets_the_very_answer_through_a_gateway() {
    let world = World::apart().await;
    let direct = format!("http://{}", world.behind.as_ref().unwrap().addr());
    let lead = world.lead("Ada").await;
    let path = format!("/v1/crm/leads/{lead}");
    let admin = world.token(&[kernel::Role::Admin]);
    let ask = |base: &str, method: &Method, path: &str, token: &str, headers: &[(&str, &str)], body: &str| {
        let mut request = world.client.request(method.clone(), format!("{base}{path}"));
        if !token.is_empty() {
            request = request.bearer_auth(token);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Answer::of(request.body(body.to_owned()))
    };
    const JSON: (&str, &str) = ("content-type", "application/json");
    // The first request creates the lead; the repeated one gets the same answer from either server.
    let captured = ask(
        &world.url,
        &Method::POST,
        "/v1/crm/leads",
        &admin,
        &[JSON, ("idempotency-key", "k")],
        "{\"name\":\"Grace\"}",
    );
    assert_eq!(captured.await.status, StatusCode::CREATED);
    let viewer = world.token(&[kernel::Role::Viewer]);
    let stranger = world.stranger();
    type Case<'a> = (Method, String, &'a str, Vec<(&'a str, &'a str)>, &'a str);
    let cases: Vec<Case<'_>> = vec![
        (Method::GET, path.clone(), &admin, vec![], ""),
        (Method::GET, path.clone(), &stranger, vec![], ""),
        (Method::GET, path.clone(), "", vec![], ""),
        (Method::GET, path.clone(), "nonsense", vec![], ""),
        (Method::GET, path.clone(), &admin, vec![("if-none-match", "\"1\"")], ""),
        (Method::GET, format!("{path}?colour=red"), &admin, vec![], ""),
        (Method::GET, "/v1/crm/leads/1".to_owned(), &admin, vec![], ""),
        (Method::GET, "/v1/crm/nothing".to_owned(), &admin, vec![], ""),
        (Method::DELETE, path.clone(), &admin, vec![], ""),
        (
            Method::POST,
            "/v1/crm/leads".to_owned(),
            &admin,
            vec![JSON, ("idempotency-key", "k")],
            "{\"name\":\"Grace\"}",
        ),
        (Method::POST, "/v1/crm/leads".to_owned(), &admin, vec![JSON, ("idempotency-key", "k")], "{\"name\":\"Eve\"}"),
        (Method::POST, "/v1/crm/leads".to_owned(), &admin, vec![JSON], "{\"name\":"),
        (Method::POST, "/v1/crm/leads".to_owned(), &admin, vec![JSON], "{\"name\":\"\",\"size\":3}"),
        (Method::POST, "/v1/crm/leads".to_owned(), &admin, vec![("content-type", "text/plain")], "Ada"),
        (Method::POST, "/v1/crm/leads".to_owned(), &viewer, vec![JSON], "{\"name\":\"Eve\"}"),
        (Method::POST, format!("{path}/assign"), &admin, vec![JSON, ("if-match", "\"7\"")], "{\"owner\":\"eve\"}"),
        (
            Method::POST,
            "/v1/crm/leads/import?dry_run=true".to_owned(),
            &admin,
            vec![("content-type", "text/csv")],
            "name\nEve\n",
        ),
        (Method::GET, "/v1/jobs/crm".to_owned(), &admin, vec![], ""),
        (Method::GET, "/v1/sagas/crm".to_owned(), &admin, vec![], ""),
        (Method::GET, "/v1/dead-letters/crm".to_owned(), &admin, vec![], ""),
        (Method::GET, "/v1/events/types".to_owned(), &admin, vec![], ""),
        (Method::GET, "/v1/events/webhooks".to_owned(), &admin, vec![("x-service", "crm")], ""),
        (Method::GET, "/v1/events?service=crm&after=crm=999999".to_owned(), &admin, vec![], ""),
        (Method::GET, "/openapi.json".to_owned(), "", vec![], ""),
    ];
    let before = world.head().await;
    for (method, path, token, headers, body) in cases {
        let through = essence(ask(&world.url, &method, &path, token, &headers, body).await);
        let answered = essence(ask(&direct, &method, &path, token, &headers, body).await);
        assert_eq!(through, answered, "{method} {path} {body}");
    }
    assert_eq!(world.head().await, before, "something was written");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_services_that_run_apart_are_not_followed_before_one_is_named() {
    let world = World::apart().await;
    let unnamed = |path: &str| (world.request(Method::GET, path), StatusCode::BAD_REQUEST, "service_unnamed");
    world.refuses(vec![unnamed("/v1/events"), unnamed("/v1/events/webhooks")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_subscriptions_and_feeds_see_through_a_gateway_what_the_service_does() {
    let mut world = World::apart().await;
    let mut socket = Socket::open(&world).await;
    socket.init(&world.token(&[kernel::Role::Viewer])).await;
    let subscribe = json!({ "query": "subscription { crm { leadChanged { lead { name } } } }" });
    socket.say(json!({ "id": "1", "type": "subscribe", "payload": subscribe })).await;
    let feed = world.request(Method::GET, "/v1/events?service=crm&after=0").send().await.unwrap();
    assert_eq!(feed.status(), StatusCode::OK);
    let mut feed = feed.bytes_stream();
    // The subscription starts some time after the request for it, so leads are captured until one is seen.
    let mut leads = 0;
    let changed = loop {
        leads += 1;
        world.lead(&format!("Ada {leads}")).await;
        if let Ok(heard) = tokio::time::timeout(std::time::Duration::from_millis(500), socket.hear()).await {
            break heard;
        }
        assert!(leads < 40, "nothing is heard");
    };
    let name = &changed["payload"]["data"]["crm"]["leadChanged"]["lead"]["name"];
    assert!(name.as_str().unwrap().starts_with("Ada "), "{changed}");
    let query = json!({ "query": "{ crm { leads { totalCount } } }" });
    let asked = world.request(Method::POST, "/graphql").header("x-min-position", format!("crm={leads}")).json(&query);
    let found = Answer::of(asked).await;
    assert_eq!(found.body["data"]["crm"]["leads"]["totalCount"], leads, "{found:?}");

    let mut text = String::new();
    while !text.contains(&format!("\"Ada {leads}\"")) {
        let bytes = tokio::time::timeout(std::time::Duration::from_secs(20), feed.next()).await.unwrap();
        text.push_str(std::str::from_utf8(&bytes.unwrap().unwrap()).unwrap());
    }
    // The feed ends at once when the gateway stops.
    world.server.take().unwrap().shutdown().await;
    while let Some(Ok(_)) = feed.next().await {}
}

#[tokio::test(flavor = "multi_thread")]
async fn without_any_instance_commands_are_refused_queries_answered_and_ready_says_so() {
    let mut world = World::apart().await;
    world.lead("Ada").await;
    let count = async || {
        let answer = world.post("/graphql", json!({ "query": "{ crm { leads { totalCount } } }" })).await;
        answer.body["data"]["crm"]["leads"]["totalCount"].as_u64()
    };
    eventually("the lead can be read", async || count().await.filter(|count| *count == 1)).await;
    world.behind.take().unwrap().shutdown().await;
    let gone = eventually("ready tells that there is no instance", async || {
        let ready = world.get("/ready").await;
        (ready.status == StatusCode::SERVICE_UNAVAILABLE).then_some(ready)
    })
    .await;
    assert_eq!(gone.body["instances"][0]["state"], "down", "{gone:?}");
    let stranger = world.anonymous(Method::GET, "/v1/crm/leads/0197a8a0-0000-7000-8000-000000000001");
    world
        .refuses(vec![
            (
                world.request(Method::POST, "/v1/crm/leads").json(&json!({ "name": "Eve" })),
                StatusCode::SERVICE_UNAVAILABLE,
                "service_unreachable",
            ),
            // Callers are authenticated by the gateway, before anything is forwarded.
            (stranger, StatusCode::UNAUTHORIZED, "token_missing"),
        ])
        .await;
    let answer = world.post("/graphql", json!({ "query": "{ crm { leads { totalCount } } }" })).await;
    assert_eq!(answer.body["data"]["crm"]["leads"]["totalCount"], 1, "{answer:?}");
    let metrics = world.get("/metrics").await.body;
    let up = metrics.as_str().unwrap().lines().find(|line| line.starts_with("inopsio_remote_up{")).unwrap().to_owned();
    assert!(up.ends_with(" 0"), "{up}");
    let watched = metrics.as_str().unwrap().contains("inopsio_task_panics_total{task=\"health of ");
    assert!(watched, "its health checks are started again if they panic");
}

/// An instance that reports to be healthy, and passes the head of each other request to `hear`. It answers these with 200, or breaks their
/// connections.
pub async fn stand_in(answers: bool, hear: impl Fn(String) + Clone + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut connection, _) = listener.accept().await.unwrap();
            let hear = hear.clone();
            tokio::spawn(async move {
                let mut head = vec![0; 4_096];
                let read = connection.read(&mut head).await.unwrap_or_default();
                let asked = String::from_utf8_lossy(&head[..read]).into_owned();
                let is_check = asked.starts_with("GET /health") || asked.starts_with("GET /ready");
                if !is_check && !asked.is_empty() {
                    hear(asked);
                }
                if is_check || answers {
                    let well = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
                    let _ = connection.write_all(well).await;
                }
            });
        }
    });
    url
}

/// An instance that breaks each connection after it has received the request.
async fn broken() -> (String, Arc<AtomicUsize>) {
    let broken = Arc::new(AtomicUsize::new(0));
    let count = broken.clone();
    let hear = move |_: String| {
        count.fetch_add(1, Ordering::SeqCst);
    };
    (stand_in(false, hear).await, broken)
}

/// Another gateway of this world, to its instance and to one that breaks connections.
async fn beside_a_broken_one(world: &World) -> (Server, String, Arc<AtomicUsize>) {
    let (url, broken) = broken().await;
    let mut config = world.config.clone();
    let urls = format!("{},{url}", config.remotes["crm"]);
    config.remotes.insert("crm".to_owned(), urls);
    let server = Server::start(config, Services::All).await.unwrap();
    let url = format!("http://{}", server.addr());
    (server, url, broken)
}

fn capture(world: &World, base: &str) -> RequestBuilder {
    let token = token(&world.config, testbed::tenant(), &[kernel::Role::Admin]);
    world.client.post(format!("{base}/v1/crm/leads")).bearer_auth(token).json(&json!({ "name": "Ada" }))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_with_a_key_is_repeated_at_another_instance_when_its_own_is_lost() {
    let world = World::apart().await;
    let (_server, url, broken) = beside_a_broken_one(&world).await;
    for number in 0..24 {
        let answer = Answer::of(capture(&world, &url).header("idempotency-key", format!("k-{number}"))).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    }
    assert_eq!(world.head().await, 24, "each once");
    // Every request is of another tenant, about half of which prefer the broken instance.
    assert!(broken.load(Ordering::SeqCst) > 0, "nobody prefers the broken one");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_without_a_key_is_not_repeated_once_it_was_sent() {
    let world = World::apart().await;
    let (_server, url, broken) = beside_a_broken_one(&world).await;
    let (mut done, mut lost) = (0, 0);
    while lost == 0 {
        assert!(done < 40, "nobody prefers the broken one");
        let answer = Answer::of(capture(&world, &url)).await;
        if answer.status == StatusCode::CREATED {
            done += 1;
            continue;
        }
        assert_eq!((answer.status, answer.code()), (StatusCode::BAD_GATEWAY, "instance_lost"), "{answer:?}");
        answer.assert_problem();
        lost += 1;
    }
    assert_eq!((broken.load(Ordering::SeqCst), world.head().await), (lost, done));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_not_told_where_a_service_is_does_not_start() {
    let world = World::apart().await;
    let mut config = world.config.clone();
    config.remotes.clear();
    let refused = Server::start(config, Services::Gateway).await.err().unwrap();
    assert!(matches!(refused, StartError::NoRemote(_)), "{refused}");
    assert!(refused.to_string().contains("INOPSIO_REMOTE_"), "{refused}");
}
