//! Import from CSV files, for any kind of rows: valid rows are imported, and invalid ones are reported with line and column.
//!
//! The file is read twice. First as a whole ([`Sheet`]): encoding, header, quotes, number of rows; an error there refuses the
//! file, and nothing is written. Then row by row (`row`), in chunks. Each chunk is one append, and is a part of the request that is
//! done exactly once ([`Importing`]). So an interrupted import continues when the same file comes again under the same key, and a
//! completed one returns its first report. A dry run asks the same commands what they would do
//! ([`executor::Executor::rehearse`]), and writes nothing.
//!
//! To import something else: in the commands crate of its domain, describe its columns as a [`Field`], and what a row becomes with the
//! two commands of an import (a chunk of rows; the record that it is complete) as an [`Import`]. The job for large files is in
//! `jobs/importing`, and the REST side in `face::import`.

#![deny(missing_docs)]

pub mod also;
mod importing;
mod records;
mod report;
mod row;
mod sheet;

use chrono::{DateTime, Utc};
use executor::{Command, Done, Executor, Request};
use kernel::{Caller, Checks, Position, Refusal};
use uuid::Uuid;

pub use importing::{ImportPlace, ImportedChunk, Importing};
pub use report::{ImportReport, RowError, Taken, none_taken};
pub use sheet::{Column, Field, Sheet};

/// Rows of the file in one append: what another tenant's command may have to wait for.
const CHUNK: usize = 50;
/// The most rows of a file that is imported while its caller waits.
pub const MOST_ROWS: u64 = 100_000;
/// The most rows of a file that is imported while nobody waits.
pub const MOST_ROWS_OF_A_JOB: u64 = 1_000_000;

/// What the rows of a file become, and how the file is to be read.
pub trait Import: Send + Sync {
    /// What a column can be.
    type Field: Field;
    /// A row that is well-formed.
    type Row: Send;
    /// What is remembered of the rows before, to find what stands twice in the file.
    type Seen: Default + Send;
    /// Takes the rows of a chunk, all in one append; refuses with [`none_taken`] when it takes none.
    type Chunk: Command<Answer = Taken>;
    /// Records that the import is complete, and its report as the answer to the request. Its permission is the import's.
    type Complete: Command<Answer = ImportReport>;

    /// Header in the file → name of the field (or `ignore`), for headers that are not named like the field.
    fn mapping(&self) -> &std::collections::BTreeMap<String, String>;

    /// Whether the caller may import a file with these columns.
    ///
    /// # Errors
    /// What they lack, or which columns can't be there.
    fn allow(&self, caller: &Caller, sheet: &Sheet<'_, Self::Field>) -> Result<(), Refusal>;

    /// The row that these cells stand for; only those with something in them are there. What is wrong goes into `checks`, under
    /// pointers of one field each (`/email`). `line`: where it begins in the file, from 1. `now`: nothing occurred later.
    fn row(&self, line: u64, cells: Vec<(Self::Field, String)>, checks: &mut Checks, now: DateTime<Utc>) -> Self::Row;

    /// Refuses a well-formed row that says again what one before it said.
    fn again(&self, _seen: &mut Self::Seen, _row: &Self::Row, _checks: &mut Checks) {}

    /// The command for a chunk. `import`: its id; none: this is the first chunk of which something may be taken.
    fn chunk(&self, import: Option<Uuid>, rows: Vec<Self::Row>) -> Self::Chunk;

    /// The command at the end.
    fn complete(&self, report: ImportReport) -> Self::Complete;
}

/// Whoever has to keep up with an import, such as read models: it goes no faster than they do ([`Importing::keep_pace`]), so that
/// what other tenants write meanwhile is not behind a file of theirs.
pub trait Pace: Send + Sync {
    /// Returns when everything up to the position has been dealt with, or when there is no point in waiting any more.
    fn reached(&self, position: Position) -> impl Future<Output = ()> + Send;
}

/// Nobody has to keep up.
#[derive(Clone, Copy, Debug)]
pub struct Unpaced;

impl Pace for Unpaced {
    async fn reached(&self, _: Position) {}
}

/// Imports a CSV file (UTF-8, RFC 4180, with a header; at most 100 columns and 100,000 rows).
///
/// # Errors
/// Codes that begin with `csv_`: the file as a whole can't be read, or none of its rows can be taken, and nothing was
/// written. Some rows that can't be taken are no error; the report lists them. When the log fails midway, the chunks before that
/// stay; the same request under the same command id goes on after them.
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

/// What an import of the file would answer now, but for the import's id: a dry run, which writes nothing and uses no key up.
///
/// # Errors
/// As for [`import`]: also a file of which nothing could be taken is refused as that would refuse it.
pub async fn rehearse<I: Import>(
    executor: &Executor,
    request: &Request,
    csv: &[u8],
    import: &I,
) -> Result<Done<ImportReport>, Refusal> {
    request.caller.require(I::Complete::PERMISSION)?;
    let request = Request { if_match: None, ..request.clone() };
    let mut importing = Importing::open(executor, &request, csv, import, MOST_ROWS, ImportPlace::default()).await?;
    while importing.rehearse().await? {}
    let answer = ImportReport { import_id: None, ..importing.report() };
    if answer.taken == 0 && answer.rows > 0 {
        return Err(answer.nothing_taken());
    }
    Ok(Done { answer, version: 0, position: Position::START, repeated: false })
}

/// Whether a file can be imported by this caller; how many rows it has. Nothing is written.
///
/// # Errors
/// Without the permission for it; codes that begin with `csv_`: the file as a whole can't be read.
pub fn check<I: Import>(caller: &Caller, csv: &[u8], import: &I, most_rows: u64) -> Result<u64, Refusal> {
    caller.require(I::Complete::PERMISSION)?;
    let sheet = Sheet::<I::Field>::read(csv, import.mapping(), most_rows)?;
    import.allow(caller, &sheet)?;
    Ok(sheet.rows())
}
