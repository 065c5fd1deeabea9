//! A client of the public API: commands and imports over REST, queries over GraphQL.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use chrono::{DateTime, SecondsFormat, Utc};
use reqwest::{RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

/// How often a request is sent again after 429 (Too Many Requests).
const RETRIES: usize = 50;

/// A client with one tenant's token. Clones share their state.
#[derive(Clone)]
pub struct Api {
    http: reqwest::Client,
    base: Arc<str>,
    token: Arc<str>,
    last_position: Arc<AtomicU64>,
}

/// An error response of the API.
#[derive(Debug)]
pub struct Refused {
    /// The response's status.
    pub status: StatusCode,
    /// The response's body: problem details as JSON.
    pub problem: String,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.status, self.problem)
    }
}

impl std::error::Error for Refused {}

/// A command to send.
#[derive(Clone, Debug)]
pub struct Command {
    /// The path below `/v1/crm`.
    pub path: String,
    /// The idempotency key.
    pub key: String,
    /// The time at which it happened (`Occurred-At`).
    pub occurred_at: Option<DateTime<Utc>>,
    pub body: Value,
}

impl Api {
    /// A client of the API at `base`, such as `http://127.0.0.1:8080`.
    pub fn new(base: &str, token: &str) -> Result<Self> {
        let http = reqwest::Client::builder().timeout(Duration::from_mins(2)).build()?;
        Ok(Self { http, base: base.into(), token: token.into(), last_position: Arc::default() })
    }

    /// Sends a command. Returns the response's body.
    pub async fn command(&self, command: &Command) -> Result<Value> {
        let url = format!("{}/v1/crm{}", self.base, command.path);
        let mut request = self.http.post(url).header("idempotency-key", &command.key).json(&command.body);
        if let Some(at) = command.occurred_at {
            request = request.header("occurred-at", at.to_rfc3339_opts(SecondsFormat::Secs, true));
        }
        let answer = self.send(request).await.with_context(|| format!("POST /v1/crm{}", command.path))?;
        self.last_position.fetch_max(answer["position"].as_u64().unwrap_or_default(), Ordering::Relaxed);
        Ok(answer)
    }

    /// Imports leads from a CSV file. Returns the report.
    pub async fn import_leads(&self, csv: Vec<u8>, key: &str) -> Result<Value> {
        let request = self.http.post(format!("{}/v1/crm/leads/import", self.base));
        let request = request.header("idempotency-key", key).header("content-type", "text/csv").body(csv);
        let answer = self.send(request).await.context("POST /v1/crm/leads/import")?;
        self.last_position.fetch_max(answer["position"].as_u64().unwrap_or_default(), Ordering::Relaxed);
        Ok(answer)
    }

    /// Queries CRM's read models after waiting for all writes of this client. Returns the object below `crm`.
    pub async fn ask(&self, query: &str, variables: Value) -> Result<Value> {
        let request = self.http.post(format!("{}/graphql", self.base));
        let position = format!("crm={}", self.last_position.load(Ordering::Relaxed));
        let request =
            request.header("x-min-position", position).json(&json!({ "query": query, "variables": variables }));
        let mut answer = self.send(request).await.context("POST /graphql")?;
        if let Some(errors) = answer.get("errors") {
            bail!("GraphQL: {errors}");
        }
        Ok(answer["data"]["crm"].take())
    }

    /// Sends a request, again after 429. Any other error status is returned as [`Refused`].
    async fn send(&self, request: RequestBuilder) -> Result<Value> {
        let request = request.bearer_auth(&self.token);
        for _ in 0..RETRIES {
            let response = request.try_clone().context("a request with a stream")?.send().await?;
            match response.status() {
                StatusCode::TOO_MANY_REQUESTS => tokio::time::sleep(retry_after(&response)).await,
                status if status.is_success() => return Ok(response.json().await?),
                status => return Err(Refused { status, problem: response.text().await? }.into()),
            }
        }
        bail!("refused {RETRIES} times because of too many requests")
    }
}

fn retry_after(response: &Response) -> Duration {
    let seconds = response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
    Duration::from_secs(seconds.unwrap_or(1))
}
