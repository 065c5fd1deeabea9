//! Stopping: what runs is finished, what is acknowledged is written.

use reqwest::{Method, StatusCode};

use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_run_when_the_server_stops_are_answered_and_kept() {
    let mut world = World::start().await;
    // A body that comes in two parts: the server stops between them.
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
    // The server has taken the connection in once another request of it was answered later.
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
