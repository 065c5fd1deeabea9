//! Shutdown: running requests are finished, and acknowledged events are written.

use eventstore::{LockKey, Role};
use futures::StreamExt;
use reqwest::{Method, StatusCode};
use serde_json::json;
use sqlx::postgres::PgPoolOptions;
use sqlx::{Connection, PgConnection};

use crate::jobs::until;
use crate::websocket::Socket;
use crate::world::{Answer, World};

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_run_when_the_server_stops_are_answered_and_kept() {
    let mut world = World::start().await;
    // A body in two parts; the server is stopped between them.
    let (first_read, wait) = tokio::sync::oneshot::channel::<()>();
    let body = futures::stream::unfold((Some(wait), 0), |(wait, part)| async move {
        let bytes: &[u8] = match part {
            0 => b"{\"name\":",
            1 => {
                wait.unwrap().await.unwrap();
                return Some((Ok::<_, std::io::Error>(b"\"Ada\"}".to_vec()), (None, 2)));
            }
            _ => return None,
        };
        Some((Ok(bytes.to_vec()), (wait, part + 1)))
    });
    let request = world
        .request(Method::POST, "/v1/crm/leads")
        .header("content-type", "application/json")
        .body(reqwest::Body::wrap_stream(body));
    let running = tokio::spawn(request.send());
    // Once a later request was answered, the server has certainly accepted the connection.
    testbed::eventually("the request runs", async || {
        let text = world.get("/metrics").await.body.as_str().unwrap().to_owned();
        text.contains("inopsio_http_requests_running 2").then_some(())
    })
    .await;
    let server = world.server.take().unwrap();
    let address = server.addr();
    let stopping = tokio::spawn(server.shutdown());
    testbed::eventually("the server takes no new connections", async || {
        tokio::net::TcpStream::connect(address).await.is_err().then_some(())
    })
    .await;
    first_read.send(()).unwrap();
    let answer = running.await.unwrap().unwrap();
    assert_eq!(answer.status(), StatusCode::CREATED);
    stopping.await.unwrap();
    assert_eq!(world.head().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn subscribers_are_told_at_once_and_requests_that_outlast_the_drain_are_cut() {
    let mut world = World::start_with(|config| config.http.drain_seconds = 3).await;
    let mut socket = Socket::open(&world).await;
    socket.init(&world.token(&[kernel::Role::Viewer])).await;
    let subscribe = json!({ "query": "subscription { crm { leadChanged { leadId } } }" });
    socket.say(json!({ "id": "1", "type": "subscribe", "payload": subscribe })).await;
    // A body that never ends.
    let body =
        futures::stream::iter([Ok::<_, std::io::Error>(b"{\"name\":".to_vec())]).chain(futures::stream::pending());
    let request = world
        .request(Method::POST, "/v1/crm/leads")
        .header("content-type", "application/json")
        .body(reqwest::Body::wrap_stream(body));
    let running = tokio::spawn(request.send());
    testbed::eventually("the request runs", async || {
        let text = world.get("/metrics").await.body.as_str().unwrap().to_owned();
        text.contains("inopsio_http_requests_running 2").then_some(())
    })
    .await;
    let stopping = tokio::spawn(world.server.take().unwrap().shutdown());
    assert_eq!(socket.hear().await, json!({ "closed": 1001 }));
    assert!(!running.is_finished(), "the request has its time");
    stopping.await.unwrap();
    let cut = running.await.unwrap();
    assert!(cut.is_err(), "{cut:?}");
    assert_eq!(world.head().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_appends_when_the_server_stops_is_given_back_and_the_attempt_does_not_count() {
    let mut world = World::start().await;
    let mut holder = PgConnection::connect_with(&world.database.superuser()).await.unwrap();
    let hold = sqlx::query("SELECT pg_advisory_lock($1)").bind(LockKey::Writing.number());
    hold.execute(&mut holder).await.unwrap();
    let upload = world.request(Method::POST, "/v1/crm/imports").header("content-type", "text/csv");
    let asked = Answer::of(upload.body("name\nAda\n")).await;
    assert_eq!(asked.status, StatusCode::CREATED, "{asked:?}");
    world.database.until_session(Role::Append, "wait_event_type = 'Lock'").await;
    let stopping = tokio::spawn(world.server.take().unwrap().shutdown());
    let pool = PgPoolOptions::new().max_connections(1).connect_with(world.database.superuser()).await.unwrap();
    let given_back = testbed::eventually("the job is given back", async || {
        let row = "SELECT attempt, code FROM jobs.jobs WHERE state = 'waiting'";
        sqlx::query_as::<_, (i32, Option<String>)>(row).fetch_optional(&pool).await.unwrap()
    })
    .await;
    assert_eq!(given_back, (0, None));
    holder.close().await.unwrap();
    stopping.await.unwrap();
    world.restart(|_| {}).await;
    let job = until(&world, asked.body["id"].as_str().unwrap(), "completed").await;
    assert_eq!(job["result"]["taken"], 1, "{job}");
}
