//! Leads from a CSV file that is too large to wait for.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use crm_aggregates::LeadSource;
use crm_commands::{
    IMPORT, ImportOptions, ImportPlace, ImportedChunk, Importing, MOST_ROWS_OF_A_JOB, Pace, RowError, importer,
};
use executor::{Executor, Request};
use jobs::{Fault, Kind, Step, Work};
use kernel::{Position, Refusal, TenantId, without_formula};
use projector::ReadModels;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// The kind's name.
pub const IMPORT_LEADS: &str = "import_leads";

/// How long a chunk waits for the read models; when they stand still it goes on by itself.
const PATIENCE: Duration = Duration::from_secs(2);

/// How the job's file is to be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportLeads {
    /// Header in the file → field of the lead, for headers that are not named like the field.
    pub mapping: BTreeMap<String, String>,
    /// Where rows without a source came from.
    pub source: LeadSource,
    /// Whether who asked may say that leads were captured earlier than now.
    pub backdate: bool,
}

/// A line of the job's own file: one thing that is wrong with one row.
#[derive(Serialize)]
struct BadRow<'a> {
    line: u64,
    column: Option<Cow<'a, str>>,
    code: &'a str,
    detail: Cow<'a, str>,
}

/// An import goes as fast as the read models take it in, so that they are not a file behind for everybody else.
struct Keeping<'a> {
    read_models: &'a ReadModels,
    tenant: TenantId,
}

impl Pace for Keeping<'_> {
    async fn reached(&self, position: Position) {
        // Behind or not: it goes on.
        let _ = self.read_models.wait_for(self.tenant, position, PATIENCE).await;
    }
}

pub(crate) fn kind(read_models: ReadModels, executor: Option<Executor>) -> Kind {
    Kind::new(IMPORT_LEADS, move |work| import(read_models.clone(), executor.clone(), work))
        .output("text/csv; charset=utf-8", IMPORT)
        .queue("imports")
        .time_limit(Duration::from_hours(12))
}

async fn import(read_models: ReadModels, executor: Option<Executor>, work: Work) -> Result<Value, Fault> {
    let Some(executor) = executor else {
        return Err(Fault::failed("not_run_here", "this process does not write leads"));
    };
    let ImportLeads { mapping, source, backdate } = work.arguments()?;
    let options = ImportOptions { dry_run: false, mapping, source, most_rows: MOST_ROWS_OF_A_JOB };
    let file = work.input().await?;
    let request = request(&work, backdate);
    let place: Option<ImportPlace> = work.checkpoint()?;
    let begun = place.is_some();
    let mut importing =
        Importing::open(&executor, &request, &file, &options, place.unwrap_or_default()).map_err(refused)?;
    let total = importing.rows();
    let mut header = !begun;
    let pace = Keeping { read_models: &read_models, tenant: work.tenant() };
    work.log(&format!("{total} rows, {} leads of them taken before", importing.report().taken)).await?;
    loop {
        if work.is_cancelled() {
            return Err(Fault::Cancelled);
        }
        let Some(ImportedChunk { rows, errors, .. }) = importing.step().await.map_err(refused)? else { break };
        let part = if header || !errors.is_empty() { Some(csv(&errors, header)?) } else { None };
        header = false;
        let checkpoint =
            serde_json::to_value(importing.place()).map_err(|error| Fault::hopeless("checkpoint_unwritable", error))?;
        work.step(Step { checkpoint, done: rows, total: Some(total), part }).await?;
        importing.keep_pace(&pace).await;
    }
    let report = importing.report();
    let answer = |import: Option<_>| {
        json!({
            "import_id": import,
            "rows": report.rows,
            "taken": report.taken,
            "refused": report.refused,
            "error_count": report.error_count,
        })
    };
    // What leaves nothing behind is no import; what is wrong with it stands in the job's file.
    if report.taken == 0 {
        work.log(&format!("none of {total} rows became a lead: what is wrong with each stands in the job's file"))
            .await?;
        return Ok(answer(None));
    }
    let done = importing.complete().await.map_err(refused)?;
    Ok(answer(done.answer.import_id))
}

/// The same for each attempt, so that what was done by an earlier one is not done again.
fn request(work: &Work, backdate: bool) -> Request {
    let id = work.id();
    Request {
        caller: importer(work.tenant(), work.actor(), backdate),
        command_id: Some(format!("job {id}")),
        request_hash: Sha256::digest(id.as_bytes()).into(),
        if_match: None,
        occurred_at: None,
        correlation_id: id,
        causation_id: id,
        traceparent: None,
    }
}

/// What is wrong with the file will still be wrong; a log that does not answer may answer later.
fn refused(refusal: Refusal) -> Fault {
    use kernel::Kind as Sort;
    match refusal.kind() {
        Sort::Unavailable | Sort::Timeout | Sort::RateLimited | Sort::Internal | Sort::Conflict => {
            Fault::failed(refusal.code(), refusal.detail())
        }
        _ => Fault::hopeless(refusal.code(), refusal.detail()),
    }
}

fn csv(errors: &[RowError], header: bool) -> Result<Vec<u8>, Fault> {
    let unwritable = |error: &dyn std::fmt::Display| Fault::hopeless("csv_unwritable", error);
    let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
    if header {
        writer.write_record(["line", "column", "code", "detail"]).map_err(|error| unwritable(&error))?;
    }
    for RowError { line, column, code, detail } in errors {
        // What people wrote in their file is in it as text that no spreadsheet runs.
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
