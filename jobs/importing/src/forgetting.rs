//! Removes files of jobs after a person was erased, because the files may contain their data.

use std::time::Duration;

use chrono::{DateTime, Utc};
use jobs::{Fault, Kind, Step, Work};
use projector::ReadModels;
use serde_json::{Value, json};

/// How long an attempt waits until the read models have processed the erasure.
const PATIENCE: Duration = Duration::from_secs(20);
/// The maximum number of attempts: enough for some days, with the pauses in between. After that, files are removed because of their age.
const ATTEMPTS: u32 = 200;

/// A kind of job that removes the files of jobs of these kinds. The append that erases a person submits it, without arguments.
#[must_use]
pub fn forgetting(name: &'static str, of: &'static [&'static str], read_models: ReadModels) -> Kind {
    Kind::new(name, move |work| forget(of, read_models.clone(), work)).attempts(ATTEMPTS).even_if_suspended()
}

async fn forget(of: &[&str], read_models: ReadModels, work: Work) -> Result<Value, Fault> {
    let until = match work.checkpoint()? {
        Some(until) => until,
        None => forgotten(&read_models, &work).await?,
    };
    let files = work.forget_files(of, until).await?;
    Ok(json!({ "files": files }))
}

/// Waits until the read models have processed the erasure. Files that are begun after that contain nothing of the person; those begun
/// before may. Returns the time.
async fn forgotten(read_models: &ReadModels, work: &Work) -> Result<DateTime<Utc>, Fault> {
    // The job was submitted by the append that erased the person, so the log contains the erasure.
    let head = read_models.head(work.tenant()).await;
    let head = head.map_err(|error| Fault::failed("read_models_unavailable", error))?;
    let reached = read_models.wait_for(work.tenant(), head, PATIENCE).await;
    reached.map_err(|behind| Fault::failed("read_models_behind", behind))?;
    let until = work.time_of_jobs().await?;
    let checkpoint = serde_json::to_value(until).map_err(|error| Fault::permanent("checkpoint_unwritable", error))?;
    work.step(Step { checkpoint, ..Step::default() }).await?;
    Ok(until)
}
