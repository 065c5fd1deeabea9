//! A client like a tenant's application: it repeats unanswered commands with the same key, and reads its own writes.

use std::time::{Duration, Instant};

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use testbed::eventually;

use crate::world::ServerUrls;

/// How long a client repeats a command before the test fails.
const PATIENCE: Duration = Duration::from_mins(1);

/// Sends requests with one tenant's administrator token to any running `inopsio serve`.
#[derive(Clone)]
pub struct Client {
    server_urls: ServerUrls,
    http: reqwest::Client,
    token: String,
    /// Index of the server to use, modulo the number of running servers.
    turn: usize,
}

/// A complete response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: StatusCode,
    pub body: Value,
}

impl Answer {
    /// The stable code of a problem document; empty if it is none.
    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    /// The id of the created or changed object.
    pub fn id(&self) -> &str {
        self.body["id"].as_str().unwrap_or_else(|| panic!("no id in {self:?}"))
    }

    /// The log's position after the command.
    pub fn position(&self) -> u64 {
        self.body["position"].as_u64().unwrap_or_else(|| panic!("no position in {self:?}"))
    }

    /// The version of the created or changed object.
    pub fn version(&self) -> u64 {
        self.body["version"].as_u64().unwrap_or_else(|| panic!("no version in {self:?}"))
    }

    /// Whether the outcome of the command is still unknown, so that it has to be repeated.
    pub fn is_open(&self) -> bool {
        self.status.is_server_error() || self.status == StatusCode::TOO_MANY_REQUESTS
    }
}

impl Client {
    pub fn new(server_urls: ServerUrls, token: &str) -> Self {
        let http = reqwest::Client::builder().timeout(Duration::from_secs(30)).build().unwrap();
        Self { server_urls, http, token: token.to_owned(), turn: 0 }
    }

    /// Another client of the same tenant with its own connections.
    pub fn another(&self, turn: usize) -> Self {
        Self { turn, ..Self::new(self.server_urls.clone(), &self.token) }
    }

    /// A request to one of the running servers; none if none is running.
    fn request(&self, method: Method, path: &str) -> Option<RequestBuilder> {
        let url = {
            let server_urls = self.server_urls.lock().unwrap();
            server_urls.values().nth(self.turn % server_urls.len().max(1))?.clone()
        };
        Some(self.http.request(method, format!("{url}{path}")).bearer_auth(&self.token))
    }

    /// Sends a command once. None if there was no response.
    pub async fn post_once(&self, key: &str, path: &str, body: &Value) -> Option<Answer> {
        let request = self.request(Method::POST, path)?;
        answer(request.header("idempotency-key", key).json(body)).await
    }

    /// Sends a command, and repeats it with the same key until it is answered.
    pub async fn post(&mut self, key: &str, path: &str, body: &Value) -> Answer {
        let began = Instant::now();
        loop {
            let answer = self.post_once(key, path, body).await;
            if let Some(answer) = answer.as_ref().filter(|answer| !answer.is_open()) {
                return answer.clone();
            }
            assert!(began.elapsed() < PATIENCE, "POST {path} {body}: last {answer:?}");
            // Try another server.
            self.turn += 1;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Sends a command that must succeed. Its idempotency key is made of its path and body.
    pub async fn done(&self, path: &str, body: Value) -> Answer {
        let answer = self.post_once(&format!("{path} {body}"), path, &body).await.unwrap();
        assert!(answer.status.is_success(), "POST {path} {body}: {answer:?}");
        answer
    }

    /// Sends a CSV file once.
    pub async fn upload(&self, key: &str, path: &str, csv: String) -> Answer {
        let request = self.request(Method::POST, path).unwrap().header("idempotency-key", key);
        let request = request.header("content-type", "text/csv").timeout(PATIENCE * 10).body(csv);
        answer(request).await.unwrap()
    }

    /// Sends a GET request.
    pub async fn get(&self, path: &str) -> Answer {
        answer(self.request(Method::GET, path).unwrap()).await.unwrap()
    }

    /// Runs a GraphQL query after the read models have reached a position. Returns `data.crm`.
    pub async fn ask(&self, question: &str, min_position: u64) -> Value {
        // On a busy machine that may take longer than the server waits, so repeat.
        let answer = eventually("the read models have come so far", async || {
            let answer = self.ask_once(question, min_position).await.unwrap();
            (answer.status != StatusCode::GATEWAY_TIMEOUT).then_some(answer)
        });
        let answer = answer.await;
        assert_eq!((answer.status, answer.body.get("errors")), (StatusCode::OK, None), "{question}: {answer:?}");
        answer.body["data"]["crm"].clone()
    }

    /// Runs a GraphQL query once. None if there was no response.
    pub async fn ask_once(&self, question: &str, min_position: u64) -> Option<Answer> {
        let request = self.request(Method::POST, "/graphql")?.header("x-min-position", format!("crm={min_position}"));
        answer(request.json(&json!({ "query": format!("{{ crm {{ {question} }} }}") }))).await
    }

    /// The response of `/ready`. None if there was none.
    pub async fn ready(&self) -> Option<(StatusCode, Value)> {
        let answer = answer(self.request(Method::GET, "/ready")?).await?;
        Some((answer.status, answer.body))
    }
}

async fn answer(request: RequestBuilder) -> Option<Answer> {
    let response = request.send().await.ok()?;
    let status = response.status();
    // A truncated response counts as none.
    let bytes = response.bytes().await.ok()?;
    let body = serde_json::from_slice(&bytes).unwrap_or_else(|_| String::from_utf8_lossy(&bytes).into_owned().into());
    Some(Answer { status, body })
}
