//! What jobs that import large CSV files have in common, for any kind of rows.
//!
//! A handler creates the [`Import`] and the caller from its arguments, and calls [`run`]. This imports the file chunk by chunk, as fast as
//! the read models follow ([`ReadModelPace`]), and writes errors to the job's output file (CSV: line, column, code, detail). After an
//! interruption it continues where it was, and each chunk is imported exactly once. The command of a chunk looks up whether the caller
//! still may import ([`importing::current_permissions`]); for how long a token's word counts depends on the job's [`age`].
//!
//! To add one, write a file in `jobs/<domain>/src/` with the kind, and a handler that ends in [`run`]; see `jobs/crm/src/import_leads.rs`.
//! An imported file may contain data of people who are erased later, so the job that removes files after an erasure ([`forgetting`]) must
//! name the new kind.

#![deny(missing_docs)]

mod forgetting;

use std::borrow::Cow;
use std::time::Duration;

use executor::{Executor, Request};
use importing::{
    Import, ImportPlace, ImportReport, ImportedChunk, Importing, MOST_ROWS_OF_A_JOB, Pace, RequestAge, RowError,
};
use jobs::{Fault, Kind, Step, Work};
use kernel::{Caller, Position, Refusal, TenantId, without_formula};
use projector::ReadModels;
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

pub use forgetting::forgetting;

/// The media type of the output file.
const CSV: &str = "text/csv; charset=utf-8";

/// How long a chunk waits for the read models, before the import continues anyway.
const PATIENCE: Duration = Duration::from_secs(2);

/// The time limit of an attempt.
const LONGEST: Duration = Duration::from_hours(12);

/// Slows an import down to the speed of the read models, so that they do not fall behind for everybody else.
pub struct ReadModelPace<'a> {
    read_models: &'a ReadModels,
    tenant: TenantId,
}

impl<'a> ReadModelPace<'a> {
    /// Creates it for these read models.
    pub fn with(read_models: &'a ReadModels, tenant: TenantId) -> Self {
        Self { read_models, tenant }
    }
}

impl Pace for ReadModelPace<'_> {
    async fn reached(&self, position: Position) {
        // Continues even if the read models are still behind.
        let _ = self.read_models.wait_for(self.tenant, position, PATIENCE).await;
    }
}

/// Turns a kind into one that imports files: in the queue of imports, with an output file that lists the errors, for callers with
/// `permission`.
#[must_use]
pub fn described(kind: Kind, permission: &'static str) -> Kind {
    kind.output(CSV, permission).queue("imports").time_limit(LONGEST)
}

/// How long ago the job was requested, by the database's clock.
///
/// # Errors
/// The database does not answer.
pub async fn age(work: &Work) -> Result<RequestAge, Fault> {
    Ok(RequestAge::from_now(work.time_of_jobs().await? - work.created_at()))
}

/// Imports the job's input file for `caller`. The result has the numbers of rows.
///
/// # Errors
/// A permanent failure if the file is invalid, or refused for the caller; a temporary one if the log does not answer.
pub async fn run<I: Import>(
    executor: &Executor,
    read_models: &ReadModels,
    work: &Work,
    caller: Caller,
    import: &I,
) -> Result<Value, Fault> {
    let file = work.input().await?;
    let request = request(work, caller);
    let place: Option<ImportPlace> = work.checkpoint()?;
    let begun = place.is_some();
    let mut importing =
        Importing::open(executor, &request, &file, import, MOST_ROWS_OF_A_JOB, place.unwrap_or_default())
            .await
            .map_err(refused)?;
    let total = importing.rows();
    let (mut header, mut named) = (!begun, importing.import_id().is_some());
    let pace = ReadModelPace::with(read_models, work.tenant());
    work.log(&format!("{total} rows, {} of them imported earlier", importing.report().taken)).await?;
    loop {
        if work.is_cancelled() {
            return Err(Fault::Cancelled);
        }
        let Some(ImportedChunk { rows, errors, .. }) = importing.step().await.map_err(refused)? else { break };
        // The job has a result only when it is completed. Without the id, nobody could revert an import that is cancelled, as the next step
        // may find it, or fails.
        if !named && let Some(import) = importing.import_id() {
            work.log(&format!("the id of the import is {import}")).await?;
            named = true;
        }
        let part = if header || !errors.is_empty() { Some(csv(&errors, header)?) } else { None };
        header = false;
        let checkpoint = serde_json::to_value(importing.place())
            .map_err(|error| Fault::permanent("checkpoint_unwritable", error))?;
        work.step(Step { checkpoint, done: rows, total: Some(total), part }).await?;
        importing.keep_pace(&pace).await;
    }
    let report = importing.report();
    // Without any imported row, no import is recorded. The errors are in the output file.
    if report.taken == 0 {
        work.log(&format!("none of {total} rows was imported; the job's output lists the errors of each row")).await?;
        return Ok(answer(&report, None));
    }
    let done = importing.complete().await.map_err(refused)?;
    Ok(answer(&report, done.answer.import_id))
}

fn answer(report: &ImportReport, import: Option<Uuid>) -> Value {
    json!({
        "import_id": import,
        "rows": report.rows,
        "taken": report.taken,
        "refused": report.refused,
        "error_count": report.error_count,
    })
}

/// The request is the same in each attempt, so that what an earlier one did is not done again.
fn request(work: &Work, caller: Caller) -> Request {
    let id = work.id();
    Request {
        caller,
        command_id: Some(executor::reserved_for_job(id)),
        request_hash: Sha256::digest(id.as_bytes()).into(),
        if_match: None,
        occurred_at: None,
        correlation_id: id,
        causation_id: id,
        traceparent: None,
    }
}

/// Errors of the file are permanent; an unavailable log is temporary.
fn refused(refusal: Refusal) -> Fault {
    use kernel::Kind as Sort;
    match refusal.kind() {
        Sort::Unavailable | Sort::Timeout | Sort::RateLimited | Sort::Internal | Sort::Conflict => {
            Fault::failed(refusal.code(), refusal.detail())
        }
        _ => Fault::permanent(refusal.code(), refusal.detail()),
    }
}

/// A line of the output file: one error of one row.
#[derive(Serialize)]
struct BadRow<'a> {
    line: u64,
    column: Option<Cow<'a, str>>,
    code: &'a str,
    detail: Cow<'a, str>,
}

fn csv(errors: &[RowError], header: bool) -> Result<Vec<u8>, Fault> {
    let unwritable = |error: &dyn std::fmt::Display| Fault::permanent("csv_unwritable", error);
    let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
    if header {
        writer.write_record(["line", "column", "code", "detail"]).map_err(|error| unwritable(&error))?;
    }
    for RowError { line, column, code, detail } in errors {
        // Text from the file is protected from being run as a formula by spreadsheets.
        let line = BadRow {
            line: *line,
            column: column.as_deref().map(without_formula),
            code,
            detail: without_formula(detail),
        };
        writer.serialize(line).map_err(|error| unwritable(&error))?;
    }
    writer.into_inner().map_err(|error| unwritable(&error))
}
