//! Somebody was erased: files that were made, or sent to be imported, before may tell who they were.

use std::time::Duration;

use chrono::{DateTime, Utc};
use jobs::{Fault, Kind, Step, Work};
use projector::ReadModels;
use serde_json::{Value, json};

/// How long an attempt waits for the read models to forget.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often it is begun at most: for some days, with the waits in between. Then files are removed because they are old.
const ATTEMPTS: u32 = 200;

/// A kind of job that removes the files of these kinds of jobs. It is asked for in the append that erases, without arguments.
#[must_use]
pub fn forgetting(name: &'static str, of: &'static [&'static str], read_models: ReadModels) -> Kind {
    Kind::new(name, move |work| forget(of, read_models.clone(), work)).attempts(ATTEMPTS)
}

async fn forget(of: &[&str], read_models: ReadModels, work: Work) -> Result<Value, Fault> {
    let until = match work.checkpoint()? {
        Some(until) => until,
        None => forgotten(&read_models, &work).await?,
    };
    let files = work.forget_files(of, until).await?;
    Ok(json!({ "files": files }))
}

/// Waits until the read models have forgotten whoever was erased. What is made from then on has nothing of them; what was begun
/// before may have.
async fn forgotten(read_models: &ReadModels, work: &Work) -> Result<DateTime<Utc>, Fault> {
    // The job came with the erasure, so the log has it.
    let head = read_models.head(work.tenant()).await;
    let head = head.map_err(|error| Fault::failed("read_models_unavailable", error))?;
    let reached = read_models.wait_for(work.tenant(), head, PATIENCE).await;
    reached.map_err(|behind| Fault::failed("read_models_behind", behind))?;
    let until = work.time_of_jobs().await?;
    let checkpoint = serde_json::to_value(until).map_err(|error| Fault::hopeless("checkpoint_unwritable", error))?;
    work.step(Step { checkpoint, ..Step::default() }).await?;
    Ok(until)
}
