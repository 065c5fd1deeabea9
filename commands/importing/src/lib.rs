//! Import from CSV files, for any kind of rows: valid rows are imported, and invalid ones are reported with line and column.
//!
//! The file is read twice. First as a whole ([`Sheet`]): encoding, header, quotes, number of rows; an error there refuses the
//! file, and nothing is written. Then row by row (`row`), in chunks. Each chunk is one append, and is a part of the request that is
//! done exactly once ([`Importing`]). So an interrupted import continues when the same file comes again under the same key, and a
//! completed one returns its first report. A dry run asks the same commands what they would do
//! ([`executor::Executor::dry_run`]), and writes nothing.
//!
//! To import something else: in the commands crate of its domain, describe its columns as a [`Field`], and what a row becomes with the
//! two commands of an import (a chunk of rows; the record that it is complete) as an [`Import`]. If a job runs the import, the command of a
//! chunk looks up whether its requester still may ([`current_permissions`]). The job for large files is in `jobs/importing`, and the REST side in
//! `face::import`.

#![deny(missing_docs)]

pub mod also;
mod importing;
mod records;
mod report;
mod requester;
mod row;
mod sheet;

use chrono::{DateTime, Utc};
use executor::{Command, Done, Executor, Request};
use kernel::{Caller, Checks, Position, Refusal};
use uuid::Uuid;

pub use importing::{ImportPlace, ImportedChunk, Importing};
pub use report::{ImportReport, RowError, Taken, none_taken};
pub use requester::{RequestAge, current_permissions};
pub use sheet::{Column, Field, Sheet};

/// Rows of the file in one append. Another tenant's command may have to wait for one such append.
const CHUNK: usize = 50;
/// Maximum rows of a file that is imported synchronously, within the request.
pub const MOST_ROWS: u64 = 100_000;
/// Maximum rows of a file that is imported by a background job.
pub const MOST_ROWS_OF_A_JOB: u64 = 1_000_000;

/// A kind of import: how the file is read, and which commands its rows become.
pub trait Import: Send + Sync {
    /// The fields that a column can have.
    type Field: Field;
    /// A valid row.
    type Row: Send;
    /// State kept across rows, to find duplicates within the file.
    type Seen: Default + Send;
    /// The command that imports the rows of a chunk in one append. It refuses with [`none_taken`] if it can import none of them.
    type Chunk: Command<Answer = Taken>;
    /// The command that records that the import is complete, with the report as the answer to the request. Its permission is the permission
    /// to import.
    type Complete: Command<Answer = ImportReport>;

    /// Maps headers in the file to field names (or `ignore`), for headers that differ from the name of the field.
    fn mapping(&self) -> &std::collections::BTreeMap<String, String>;

    /// Whether the caller may import a file with these columns.
    ///
    /// # Errors
    /// If the caller lacks a permission, or the file has columns that are not allowed.
    fn allow(&self, caller: &Caller, sheet: &Sheet<'_, Self::Field>) -> Result<(), Refusal>;

    /// Builds a row from its non-empty cells. Validation errors go into `checks`, each under a pointer of one field (`/email`). `line`: the
    /// line on which the row begins, from 1. `now`: the latest time that the row may name.
    fn row(&self, line: u64, cells: Vec<(Self::Field, String)>, checks: &mut Checks, now: DateTime<Utc>) -> Self::Row;

    /// Refuses a valid row that duplicates an earlier one.
    fn again(&self, _seen: &mut Self::Seen, _row: &Self::Row, _checks: &mut Checks) {}

    /// The command for a chunk. `import`: the import's id, or `None` until a chunk has been imported.
    fn chunk(&self, import: Option<Uuid>, rows: Vec<Self::Row>) -> Self::Chunk;

    /// The command that completes the import.
    fn complete(&self, report: ImportReport) -> Self::Complete;
}

/// A consumer of the log with which an import keeps pace, such as the read models ([`Importing::keep_pace`]). Without it, other tenants'
/// events would wait behind all rows of the file.
pub trait Pace: Send + Sync {
    /// Returns when the consumer has processed everything up to the position, or when waiting is pointless.
    fn reached(&self, position: Position) -> impl Future<Output = ()> + Send;
}

/// Imports at full speed: waits for no consumer.
#[derive(Clone, Copy, Debug)]
pub struct Unpaced;

impl Pace for Unpaced {
    async fn reached(&self, _: Position) {}
}

/// Imports a CSV file (UTF-8, RFC 4180, with a header; at most 100 columns and 100,000 rows).
///
/// # Errors
/// Codes that begin with `csv_`: the file as a whole can't be read, or none of its rows can be imported; nothing was written.
/// Invalid rows are not an error if other rows can be imported; the report lists them. If the log fails midway, the chunks before that
/// stay; the same request under the same command id continues after them.
pub async fn import<I: Import>(
    executor: &Executor,
    request: &Request,
    csv: &[u8],
    import: &I,
    pace: &impl Pace,
) -> Result<Done<ImportReport>, Refusal> {
    request.caller.require(I::Complete::PERMISSION)?;
    let key = request.command_id.clone().unwrap_or_else(|| executor.new_id::<Uuid>().to_string());
    // A file has no version, so an `If-Match` says nothing here.
    let request = Request { command_id: Some(key), if_match: None, ..request.clone() };
    if let Some(done) = executor.repeated::<I::Complete>(&request).await? {
        return Ok(done);
    }
    let mut importing = Importing::open(executor, &request, csv, import, MOST_ROWS, ImportPlace::default()).await?;
    while importing.step().await?.is_some() {
        importing.keep_pace(pace).await;
    }
    let report = importing.report();
    if report.taken == 0 && report.rows > 0 {
        return Err(report.nothing_taken());
    }
    importing.complete().await
}

/// Dry run: the report that an import of the file would return now, without the import's id. Writes nothing and does not use up the
/// `Idempotency-Key`.
///
/// # Errors
/// As for [`import`], including the refusal of a file of which no row can be imported.
pub async fn dry_run<I: Import>(
    executor: &Executor,
    request: &Request,
    csv: &[u8],
    import: &I,
) -> Result<Done<ImportReport>, Refusal> {
    request.caller.require(I::Complete::PERMISSION)?;
    let request = Request { if_match: None, ..request.clone() };
    let mut importing = Importing::open(executor, &request, csv, import, MOST_ROWS, ImportPlace::default()).await?;
    while importing.dry_run().await? {}
    let answer = ImportReport { import_id: None, ..importing.report() };
    if answer.taken == 0 && answer.rows > 0 {
        return Err(answer.nothing_taken());
    }
    Ok(Done { answer, version: 0, position: Position::START, repeated: false })
}

/// Checks that this caller may import the file, and returns its number of rows. Nothing is written.
///
/// # Errors
/// If the permission is missing; codes that begin with `csv_`: the file as a whole can't be read.
pub fn check<I: Import>(caller: &Caller, csv: &[u8], import: &I, most_rows: u64) -> Result<u64, Refusal> {
    caller.require(I::Complete::PERMISSION)?;
    let sheet = Sheet::<I::Field>::read(csv, import.mapping(), most_rows)?;
    import.allow(caller, &sheet)?;
    Ok(sheet.rows())
}
