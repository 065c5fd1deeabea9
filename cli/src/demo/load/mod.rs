//! Loads the data set through the REST API. The parts follow each other, because later ones refer to earlier ones. Within a part many
//! commands are sent concurrently, but those of one record in order.

mod deals;
mod directory;
mod leads;
mod parallel;
mod setup;

use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result};
use chrono::{DateTime, Utc};
use indicatif::ProgressBar;
use reqwest::StatusCode;
use serde_json::Value;

use super::api::{Api, Command, Refused};
use super::data::DataSet;

/// The result of the load.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub parts: Vec<Part>,
    /// Ids of the pipelines, in the order of the data set.
    pub pipelines: Vec<String>,
    /// The id of the converted lead with the most steps.
    pub converted_lead: Option<String>,
}

/// The result of one part of the load.
#[derive(Clone, Debug)]
pub struct Part {
    pub name: &'static str,
    /// Number of records created, or of steps sent.
    pub records: usize,
    /// Number of requests.
    pub requests: usize,
    pub took: Duration,
}

/// The context that all parts share.
struct Loader<'a> {
    api: &'a Api,
    set: &'a DataSet,
    at_once: usize,
    /// Prefix of all idempotency keys. The keys are the same in every run, so an interrupted load can be continued and a repeated one has no
    /// effect.
    key: &'a str,
    bar: &'a ProgressBar,
}

/// Loads the whole data set.
pub async fn load(api: &Api, set: &DataSet, at_once: usize, key: &str, bar: &ProgressBar) -> Result<Loaded> {
    let loader = Loader { api, set, at_once, key, bar };
    let mut parts = Vec::new();
    let set_up = async { loader.set_up().await.map_err(begins_before) };
    let pipelines = timed(&mut parts, "pipelines, exchange rates", set_up).await?;
    let accounts = timed(&mut parts, "accounts", loader.accounts()).await?;
    let contacts = timed(&mut parts, "contacts", loader.contacts(&accounts)).await?;
    let leads = timed(&mut parts, "leads, from a CSV file", loader.import()).await?;
    let opened = timed(&mut parts, "what became of the leads", loader.lives(&leads, &accounts, &pipelines)).await?;
    timed(&mut parts, "opportunities and their stages", loader.deals(opened, &accounts, &contacts, &pipelines)).await?;
    let converted = loader.best_converted();
    Ok(Loaded {
        parts,
        pipelines: pipelines.into_iter().map(|pipeline| pipeline.id).collect(),
        converted_lead: converted.map(|index| leads[index].clone()),
    })
}

/// Explains a conflict in the setup: a tenant that was used before can't get pipelines or currencies with earlier times.
fn begins_before(error: Error) -> Error {
    let refused = error.chain().find_map(|cause| cause.downcast_ref::<Refused>());
    if refused.is_some_and(|refused| refused.status == StatusCode::CONFLICT) {
        return error.context(
            "the tenant has pipelines or currencies of its own, and this history begins before them; take another tenant \
             with --tenant",
        );
    }
    error
}

/// A result with the number of records and requests.
struct Counted<T> {
    result: T,
    records: usize,
    requests: usize,
}

async fn timed<T>(
    parts: &mut Vec<Part>,
    name: &'static str,
    work: impl Future<Output = Result<Counted<T>>>,
) -> Result<T> {
    let started = Instant::now();
    let Counted { result, records, requests } = work.await.with_context(|| format!("loading {name}"))?;
    parts.push(Part { name, records, requests, took: started.elapsed() });
    Ok(result)
}

impl Loader<'_> {
    /// Sends a command with the time at which it happened.
    async fn send(&self, path: String, key: &str, at: DateTime<Utc>, body: Value) -> Result<Value> {
        let command = Command { path, key: format!("{}/{key}", self.key), occurred_at: Some(at), body };
        let answer = self.api.command(&command).await?;
        self.bar.inc(1);
        Ok(answer)
    }

    /// As [`send`](Self::send), for commands that create a record. Returns its id.
    async fn create(&self, path: &str, key: &str, at: DateTime<Utc>, body: Value) -> Result<String> {
        let answer = self.send(path.to_owned(), key, at, body).await?;
        answer["id"].as_str().map(str::to_owned).with_context(|| format!("no id in the answer to {path}: {answer}"))
    }
}
