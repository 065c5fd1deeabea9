//! A tenant's application: it repeats what was not answered, under the same key, and asks for what it wrote.

use std::time::{Duration, Instant};

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use testbed::eventually;

use crate::world::Door;

/// How long a client goes on repeating a command before the test has failed.
const PATIENCE: Duration = Duration::from_mins(1);

/// Calls as one tenant's administrator, at any `inopsio serve` that runs.
#[derive(Clone)]
pub struct Client {
    door: Door,
    http: reqwest::Client,
    token: String,
    /// Which of several servers it turns to next.
    turn: usize,
}

/// An answer, read to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: StatusCode,
    pub body: Value,
}

impl Answer {
    /// The stable code of a refusal; empty: it is none.
    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    /// The id of what was made or changed.
    pub fn id(&self) -> &str {
        self.body["id"].as_str().unwrap_or_else(|| panic!("no id in {self:?}"))
    }

    /// The log's position after the command.
    pub fn position(&self) -> u64 {
        self.body["position"].as_u64().unwrap_or_else(|| panic!("no position in {self:?}"))
    }

    /// The version of what was made or changed.
    pub fn version(&self) -> u64 {
        self.body["version"].as_u64().unwrap_or_else(|| panic!("no version in {self:?}"))
    }

    /// Whether this leaves open what became of the command, so that it has to be repeated.
    pub fn is_open(&self) -> bool {
        self.status.is_server_error() || self.status == StatusCode::TOO_MANY_REQUESTS
    }
}

impl Client {
    pub fn new(door: Door, token: &str) -> Self {
        let http = reqwest::Client::builder().timeout(Duration::from_secs(30)).build().unwrap();
        Self { door, http, token: token.to_owned(), turn: 0 }
    }

    /// Another client of the same tenant, with connections of its own.
    pub fn another(&self, turn: usize) -> Self {
        Self { turn, ..Self::new(self.door.clone(), &self.token) }
    }

    /// A request to one of those that serve; none: nobody does.
    fn request(&self, method: Method, path: &str) -> Option<RequestBuilder> {
        let url = {
            let door = self.door.lock().unwrap();
            door.values().nth(self.turn % door.len().max(1))?.clone()
        };
        Some(self.http.request(method, format!("{url}{path}")).bearer_auth(&self.token))
    }

    /// Sends a command once; none: no answer came.
    pub async fn post_once(&self, key: &str, path: &str, body: &Value) -> Option<Answer> {
        let request = self.request(Method::POST, path)?;
        answer(request.header("idempotency-key", key).json(body)).await
    }

    /// Sends a command, and again under the same key until it is answered.
    pub async fn post(&mut self, key: &str, path: &str, body: &Value) -> Answer {
        let began = Instant::now();
        loop {
            let answer = self.post_once(key, path, body).await;
            if let Some(answer) = answer.as_ref().filter(|answer| !answer.is_open()) {
                return answer.clone();
            }
            assert!(began.elapsed() < PATIENCE, "POST {path} {body}: last {answer:?}");
            // Perhaps another server knows.
            self.turn += 1;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Sends a command that has to succeed, under a key made of its path and body.
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

    /// GETs.
    pub async fn get(&self, path: &str) -> Answer {
        answer(self.request(Method::GET, path).unwrap()).await.unwrap()
    }

    /// Asks in GraphQL, once the read models have come to a position; gives `data.crm`.
    pub async fn ask(&self, question: &str, min_position: u64) -> Value {
        // On a busy machine that may take longer than a question waits for it.
        let answer = eventually("the read models have come so far", async || {
            let answer = self.ask_once(question, min_position).await.unwrap();
            (answer.status != StatusCode::GATEWAY_TIMEOUT).then_some(answer)
        });
        let answer = answer.await;
        assert_eq!((answer.status, answer.body.get("errors")), (StatusCode::OK, None), "{question}: {answer:?}");
        answer.body["data"]["crm"].clone()
    }

    /// Asks in GraphQL; none: no answer came.
    pub async fn ask_once(&self, question: &str, min_position: u64) -> Option<Answer> {
        let request = self.request(Method::POST, "/graphql")?.header("x-min-position", format!("crm={min_position}"));
        answer(request.json(&json!({ "query": format!("{{ crm {{ {question} }} }}") }))).await
    }

    /// What `/ready` says; none: no answer came.
    pub async fn ready(&self) -> Option<(StatusCode, Value)> {
        let answer = answer(self.request(Method::GET, "/ready")?).await?;
        Some((answer.status, answer.body))
    }
}

async fn answer(request: RequestBuilder) -> Option<Answer> {
    let response = request.send().await.ok()?;
    let status = response.status();
    // Cut off in the middle is not answered.
    let bytes = response.bytes().await.ok()?;
    let body = serde_json::from_slice(&bytes).unwrap_or_else(|_| String::from_utf8_lossy(&bytes).into_owned().into());
    Some(Answer { status, body })
}
