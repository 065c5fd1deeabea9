//! An import that is under way, chunk by chunk.

use std::collections::VecDeque;
use std::time::Duration;

use chrono::{DateTime, Utc};
use crm_aggregates::ImportId;
use executor::{Done, Executor, Request};
use kernel::{Position, Refusal};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::chunk::{CaptureRows, CompleteImport};
use super::records::Records;
use super::row::{self, Row};
use super::sheet::Sheet;
use super::{CHUNK, ImportOptions, ImportReport, Pace, RowError, open};

/// How many chunks an import is ahead of whom it has to wait for: so many that they always have enough to do.
const AHEAD: usize = 5;
/// The same while other tenants write: while one is dealt with, the next is read and written.
const AHEAD_BESIDE_OTHERS: usize = 1;
/// The longest that an import rests between two chunks for those who write.
const REST: Duration = Duration::from_millis(50);
/// Who wrote so lately writes.
const LATELY: Duration = Duration::from_secs(1);
/// The rows of a chunk before places told them.
const FORMER_CHUNK: usize = 500;

/// An import that is under way: whoever does it may stop between any two chunks, and go on later, or elsewhere, where it was.
pub struct Importing<'a> {
    executor: &'a Executor,
    request: &'a Request,
    options: &'a ImportOptions,
    sheet: Sheet<'a>,
    records: Records<'a>,
    report: ImportReport,
    /// How many rows were read.
    read: u64,
    place: ImportPlace,
    /// The positions after the chunks that others may still be busy with, the oldest first.
    ahead: VecDeque<Position>,
    /// When the chunk began that was done last.
    began: Instant,
}

/// How far an import is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportPlace {
    /// Chunks that are done.
    chunks: u64,
    /// Rows of a chunk: an import keeps to what it began with.
    #[serde(default = "former_chunk")]
    chunk: usize,
    /// Its id, once a row was taken.
    import: Option<ImportId>,
    /// Rows that became leads.
    taken: u64,
}

fn former_chunk() -> usize {
    FORMER_CHUNK
}

impl Default for ImportPlace {
    /// Where an import begins.
    fn default() -> Self {
        Self { chunks: 0, chunk: CHUNK, import: None, taken: 0 }
    }
}

/// A chunk that is done.
#[derive(Clone, Debug)]
pub struct ImportedChunk {
    /// Rows of the file that are done, with this chunk's.
    pub rows: u64,
    /// What is wrong with rows of this chunk.
    pub errors: Vec<RowError>,
    /// The log's position after it; none: no row of it was taken.
    pub position: Option<Position>,
}

/// Rows of a chunk, read.
pub(super) struct Read {
    pub(super) rows: Vec<Row>,
    pub(super) errors: Vec<RowError>,
    count: u64,
}

impl<'a> Importing<'a> {
    /// An import that goes on at `place`, with the same file and options as before, under the same command id, which has to be there:
    /// each chunk is done once under it.
    ///
    /// # Errors
    /// As for [`check_import`](super::check_import).
    pub fn open(
        executor: &'a Executor,
        request: &'a Request,
        csv: &'a [u8],
        options: &'a ImportOptions,
        place: ImportPlace,
    ) -> Result<Self, Refusal> {
        let (sheet, mut report) = open(&request.caller, csv, options)?;
        let mut records = sheet.records.clone();
        let mut read = 0;
        // What is done is read once more for what is wrong with it: the report speaks of the whole file.
        for _ in 0..place.chunks {
            let Some(done) = self::read(&mut records, &sheet, options, executor.now(), place.chunk) else { break };
            read += done.count;
            report.refuse(done.errors);
        }
        report.import_id = place.import;
        report.taken = place.taken;
        let (ahead, began) = (VecDeque::new(), Instant::now());
        Ok(Self { executor, request, options, sheet, records, report, read, place, ahead, began })
    }

    /// Rows of the file.
    pub fn rows(&self) -> u64 {
        self.sheet.rows
    }

    /// Where it is: what was done does not have to be done again by whoever goes on there.
    pub fn place(&self) -> ImportPlace {
        self.place
    }

    /// What became of the rows so far.
    pub fn report(&self) -> ImportReport {
        self.report.clone().finished()
    }

    /// Does the next chunk; none: there are no more rows.
    ///
    /// # Errors
    /// When the log fails, or refuses: nothing of this chunk was written then, unless the log does not know.
    pub async fn step(&mut self) -> Result<Option<ImportedChunk>, Refusal> {
        self.began = Instant::now();
        let Some(chunk) = read(&mut self.records, &self.sheet, self.options, self.executor.now(), self.place.chunk)
        else {
            return Ok(None);
        };
        let number = self.place.chunks + 1;
        let mut reached = None;
        if !chunk.rows.is_empty() {
            let capture = CaptureRows { import: self.report.import_id, rows: chunk.rows };
            let Done { answer: captured, position, .. } =
                self.executor.execute_part(self.request, number, &capture).await?;
            // A chunk that was written by an earlier attempt names the import of that attempt.
            self.report.import_id = Some(captured.import);
            self.report.taken += captured.taken;
            reached = Some(position);
        }
        self.read += chunk.count;
        self.report.refuse(chunk.errors.clone());
        self.ahead.extend(reached);
        self.place =
            ImportPlace { chunks: number, import: self.report.import_id, taken: self.report.taken, ..self.place };
        Ok(Some(ImportedChunk { rows: self.read, errors: chunk.errors, position: reached }))
    }

    /// Waits until whoever has to keep up is near enough: nearer while other tenants write, so that what they wait for is not
    /// behind many rows of this file. And then as long again as the chunk has taken, so that half of the time is theirs.
    pub async fn keep_pace(&mut self, pace: &impl Pace) {
        let others = self.executor.others_write(self.request.caller.tenant(), LATELY);
        let allowed = if others { AHEAD_BESIDE_OTHERS } else { AHEAD };
        while self.ahead.len() > allowed
            && let Some(position) = self.ahead.pop_front()
        {
            pace.reached(position).await;
        }
        if others {
            tokio::time::sleep(self.began.elapsed().min(REST)).await;
        }
    }

    /// Records that the import is complete: from then on it can be reverted.
    ///
    /// # Errors
    /// As for [`Executor::execute`].
    pub async fn complete(self) -> Result<Done<ImportReport>, Refusal> {
        self.executor.execute(self.request, &CompleteImport { report: self.report.finished() }).await
    }
}

/// The next rows of the file; none: there are no more. Chunks are counted in rows of the file, good or bad, so that the same file
/// always falls into the same chunks.
pub(super) fn read(
    records: &mut Records<'_>,
    sheet: &Sheet<'_>,
    options: &ImportOptions,
    now: DateTime<Utc>,
    rows: usize,
) -> Option<Read> {
    let mut records = records.flatten().take(rows).peekable();
    records.peek()?;
    let mut chunk = Read { rows: Vec::new(), errors: Vec::new(), count: 0 };
    for record in records {
        chunk.count += 1;
        match row::read(&record, sheet, options.source, now) {
            Ok(row) => chunk.rows.push(row),
            Err(errors) => chunk.errors.extend(errors),
        }
    }
    Some(chunk)
}
