//! A receiver of webhooks that stores what it gets, and answers as the test wants.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use crate::http::{HttpRequest, read_request};

/// A received message.
#[derive(Clone, Debug)]
pub struct Received {
    /// The path that it was sent to.
    pub path: String,
    /// Its headers by lower-case name.
    pub headers: HashMap<String, String>,
    /// Its body.
    pub body: String,
}

impl Received {
    /// Its `webhook-id`.
    pub fn id(&self) -> &str {
        &self.headers["webhook-id"]
    }

    /// Its body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// The position of the event that it carries.
    pub fn position(&self) -> u64 {
        self.json()["position"].as_str().unwrap().parse().unwrap()
    }
}

/// How to answer.
#[derive(Clone, Debug)]
pub enum Reply {
    /// This status, such as `200 OK`; header lines may follow.
    Status(&'static str),
    /// `200 OK`, as soon as this is notified.
    When(Arc<Notify>),
    /// Never.
    Silence,
    /// A body that never ends.
    Endless,
}

type Script = Arc<dyn Fn(&Received, usize) -> Reply + Send + Sync>;

/// A receiver on its own port.
pub struct Receiver {
    /// Its URL.
    pub url: String,
    got: Arc<Mutex<Vec<Received>>>,
}

impl Receiver {
    /// A receiver that accepts everything.
    pub async fn start() -> Self {
        Self::answering(|_, _| Reply::Status("204 No Content")).await
    }

    /// A receiver that answers each message as `script` determines. `script` also gets the number of earlier messages.
    pub async fn answering(script: impl Fn(&Received, usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hooks", listener.local_addr().unwrap());
        let got: Arc<Mutex<Vec<Received>>> = Arc::default();
        let (kept, script): (_, Script) = (got.clone(), Arc::new(script));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, kept.clone(), script.clone()));
            }
        });
        Self { url, got }
    }

    /// All messages received so far, in order.
    pub fn got(&self) -> Vec<Received> {
        self.got.lock().unwrap().clone()
    }

    /// The positions of the received events, in order.
    pub fn positions(&self) -> Vec<u64> {
        self.got().iter().map(Received::position).collect()
    }
}

async fn serve(mut stream: TcpStream, got: Arc<Mutex<Vec<Received>>>, script: Script) {
    let mut buffer = Vec::new();
    while let Some(HttpRequest { path, headers, body, .. }) = read_request(&mut stream, &mut buffer).await {
        assert!(headers.contains_key("content-length"), "nobody says how long a message is: {headers:?}");
        let received = Received { path, headers, body };
        let reply = {
            let mut got = got.lock().unwrap();
            let reply = script(&received, got.len());
            got.push(received);
            reply
        };
        let status = match reply {
            Reply::Status(status) => status,
            Reply::When(told) => {
                told.notified().await;
                "200 OK"
            }
            Reply::Silence => std::future::pending().await,
            Reply::Endless => {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
                while stream.write_all(&[b'x'; 4_096]).await.is_ok() {}
                return;
            }
        };
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 2\r\n\r\nok");
        let answer = if status.starts_with("204") { format!("HTTP/1.1 {status}\r\n\r\n") } else { answer };
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}
