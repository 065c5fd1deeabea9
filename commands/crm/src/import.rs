//! Import of leads from a CSV file: what can be taken is taken, what can't is reported with line and column.
//!
//! The file is read twice. First as a whole (`sheet`): encoding, header, quotes, number of rows; what is wrong there refuses
//! the file, and nothing is written. Then row by row (`row`), in chunks of [`CHUNK`] rows that are one append each
//! (`chunk`), each a part of the request that is done once by itself ([`Importing`]): an import that was cut off goes on where it was when the same
//! file comes again under the same key, and one that is done answers its first report.

mod chunk;
mod importing;
mod records;
mod row;
mod sheet;

use std::collections::BTreeMap;

use crm_aggregates::{ImportId, LeadSource};
use executor::{Command, Done, Executor, Request};
use kernel::{Caller, Position, Refusal, Role, TenantId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use chunk::CompleteImport;
pub use importing::{ImportPlace, ImportedChunk, Importing};
use sheet::{Field, Sheet};

/// Rows of the file in one append: what another tenant's command may have to wait for.
const CHUNK: usize = 100;
/// How many errors a report lists.
const LISTED_ERRORS: usize = 1_000;
/// The permission for importing at all.
pub const IMPORT: &str = CompleteImport::PERMISSION;
/// The permission for the column `occurred_at`.
pub const BACKDATE: &str = "crm:history:backdate";
/// The most rows of a file that is imported while its caller waits.
const MOST_ROWS: u64 = 100_000;
/// The most rows of a file that is imported while nobody waits.
pub const MOST_ROWS_OF_A_JOB: u64 = 1_000_000;

/// How a file is to be read.
#[derive(Clone, Debug)]
pub struct ImportOptions {
    /// Only check: nothing is written.
    pub dry_run: bool,
    /// Header in the file → field of the lead (or `ignore`), for headers that are not named like the field.
    pub mapping: BTreeMap<String, String>,
    /// Where rows without a source came from.
    pub source: LeadSource,
    /// The most rows that it may have.
    pub most_rows: u64,
}

impl Default for ImportOptions {
    fn default() -> Self {
        Self { dry_run: false, mapping: BTreeMap::new(), source: LeadSource::default(), most_rows: MOST_ROWS }
    }
}

/// What became of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportReport {
    /// The import's id; none: a dry run.
    pub import_id: Option<ImportId>,
    /// Rows in the file, without its header and empty lines.
    pub rows: u64,
    /// Rows that became leads (dry run: that would have).
    pub taken: u64,
    /// Rows that were refused.
    pub refused: u64,
    /// Why; the first 1,000.
    pub errors: Vec<RowError>,
    /// How many errors there are in all.
    pub error_count: u64,
}

/// One thing that is wrong with one row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowError {
    /// Line of the file on which the row begins, from 1.
    pub line: u64,
    /// The column's header; none: the row as a whole.
    pub column: Option<String>,
    /// Stable code, for programs.
    pub code: String,
    /// What was wrong and what is allowed, for people.
    pub detail: String,
}

impl ImportReport {
    fn refuse(&mut self, errors: Vec<RowError>) {
        self.error_count += errors.len() as u64;
        let room = LISTED_ERRORS - self.errors.len().min(LISTED_ERRORS);
        self.errors.extend(errors.into_iter().take(room));
    }

    fn finished(self) -> Self {
        Self { refused: self.rows - self.taken.min(self.rows), ..self }
    }
}

/// Whoever has to keep up with an import, such as read models: it goes no faster than they do ([`Importing::keep_pace`]), so that
/// what other tenants write meanwhile is not behind a file of theirs.
pub trait Pace: Send + Sync {
    /// Returns when everything up to the position has been dealt with, or when there is no point in waiting any more.
    fn reached(&self, position: Position) -> impl Future<Output = ()> + Send;
}

/// Nobody has to keep up.
struct Unhindered;

impl Pace for Unhindered {
    async fn reached(&self, _: Position) {}
}

/// Imports leads as [`import_leads_in_step`] does, where nobody has to keep up.
///
/// # Errors
/// As there.
pub async fn import_leads(
    executor: &Executor,
    request: &Request,
    csv: &[u8],
    options: &ImportOptions,
) -> Result<Done<ImportReport>, Refusal> {
    import_leads_in_step(executor, request, csv, options, &Unhindered).await
}

/// Imports leads from a CSV file (UTF-8, RFC 4180, with a header; at most 100 columns and 100,000 rows).
///
/// # Errors
/// Codes that begin with `csv_`: the file as a whole can't be read, or none of its rows can be taken, and nothing was
/// written. Some rows that can't be taken are no error; the report lists them. When the log fails midway, the chunks before that stay; the same request under the
/// same command id goes on after them.
pub async fn import_leads_in_step(
    executor: &Executor,
    request: &Request,
    csv: &[u8],
    options: &ImportOptions,
    pace: &impl Pace,
) -> Result<Done<ImportReport>, Refusal> {
    request.caller.require(CompleteImport::PERMISSION)?;
    if options.dry_run {
        let (sheet, mut report) = open(&request.caller, csv, options)?;
        let mut records = sheet.records.clone();
        while let Some(read) = importing::read(&mut records, &sheet, options, executor.now(), CHUNK) {
            report.taken += read.rows.len() as u64;
            report.refuse(read.errors);
        }
        let answer = report.finished();
        return Ok(Done { answer, version: 0, position: Position::START, repeated: false });
    }
    let key = request.command_id.clone().unwrap_or_else(|| executor.new_id::<Uuid>().to_string());
    // A file has no version, so an `If-Match` says nothing here.
    let request = Request { command_id: Some(key), if_match: None, ..request.clone() };
    if let Some(done) = executor.repeated::<CompleteImport>(&request).await? {
        return Ok(done);
    }
    let mut importing = Importing::open(executor, &request, csv, options, ImportPlace::default())?;
    while importing.step().await?.is_some() {
        importing.keep_pace(pace).await;
    }
    let report = importing.report();
    if report.taken == 0 && report.rows > 0 {
        return Err(nothing_taken(&report));
    }
    importing.complete().await
}

/// Whether a file can be imported by this caller; how many rows it has. Nothing is written.
///
/// # Errors
/// Without the permission for importing, or for a column `occurred_at`; codes that begin with `csv_`: the file as a whole can't be
/// read.
pub fn check_import(caller: &Caller, csv: &[u8], options: &ImportOptions) -> Result<u64, Refusal> {
    caller.require(CompleteImport::PERMISSION)?;
    Ok(open(caller, csv, options)?.1.rows)
}

/// Whoever asked for an import that is done later, as far as importing needs them: `backdate` if they had the permission for that when
/// they asked.
pub fn importer(tenant: TenantId, subject: &str, backdate: bool) -> Caller {
    let needed = |permission: &str| permission == IMPORT || (backdate && permission == BACKDATE);
    let grants = crate::GRANTS.iter().filter(|grant| needed(grant.permission));
    Caller::new(tenant, subject, &[Role::Admin], grants)
}

/// A file of which nothing could be taken leaves nothing behind.
fn nothing_taken(report: &ImportReport) -> Refusal {
    let detail = format!("none of the {} rows can be taken; row_errors says why, row by row", report.rows);
    let errors = serde_json::to_value(&report.errors).unwrap_or_default();
    Refusal::invalid("csv_no_row_taken", detail).with("row_errors", errors).with("error_count", report.error_count)
}

/// The file as a whole, and a report to fill in.
fn open<'a>(caller: &Caller, csv: &'a [u8], options: &ImportOptions) -> Result<(Sheet<'a>, ImportReport), Refusal> {
    let sheet = Sheet::read(csv, &options.mapping, options.most_rows)?;
    if sheet.has(Field::OccurredAt) {
        caller.require(BACKDATE)?;
    }
    let report =
        ImportReport { import_id: None, rows: sheet.rows, taken: 0, refused: 0, errors: Vec::new(), error_count: 0 };
    Ok((sheet, report))
}
