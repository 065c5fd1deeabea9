//! A running import, which proceeds chunk by chunk and can be resumed.

use std::collections::VecDeque;
use std::time::Duration;

use chrono::{DateTime, Utc};
use executor::{Done, Executor, Request};
use kernel::{Position, Refusal};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use uuid::Uuid;

use crate::records::Records;
use crate::report::{ImportReport, RowError, Taken, errors_of};
use crate::sheet::Sheet;
use crate::{CHUNK, Import, Pace, row};

/// How many chunks an import may be ahead of the consumer with which it [keeps pace](Importing::keep_pace): enough to keep the consumer
/// busy.
const AHEAD: usize = 10;
/// The same while other tenants write: the consumer processes one chunk while the next is read and appended.
const AHEAD_BESIDE_OTHERS: usize = 1;
/// While other tenants write, the import pauses after each chunk for this many times the chunk's duration, which leaves them six sevenths
/// of the time. (On two cores, their p99 from command to visible row was 19 ms with factor 3, 14 ms with 6, and 13 ms with 10; the import
/// had 3,700, 2,000 and 1,200 rows/s meanwhile.)
const PAUSE_FACTOR: u32 = 6;
/// The longest pause between two chunks.
const MAX_PAUSE: Duration = Duration::from_millis(300);
/// A tenant counts as writing if it requested an append within this time.
const RECENTLY: Duration = Duration::from_secs(1);
/// The chunk size of places that were stored before they recorded it.
const LEGACY_CHUNK: usize = 500;

/// A running import. It may be stopped between any two chunks and resumed later, also in another process, from its [`ImportPlace`].
pub struct Importing<'a, I: Import> {
    executor: &'a Executor,
    request: &'a Request,
    import: &'a I,
    sheet: Sheet<'a, I::Field>,
    records: Records<'a>,
    seen: I::Seen,
    report: ImportReport,
    /// Rows read so far.
    read: u64,
    place: ImportPlace,
    /// Log positions of the chunks that the consumer may not have processed yet, the oldest first.
    ahead: VecDeque<Position>,
    /// When the latest chunk began.
    began: Instant,
}

/// The progress of an import: a checkpoint from which it can be resumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportPlace {
    /// Completed chunks.
    chunks: u64,
    /// Rows per chunk. Stored so that a resumed import keeps the size with which it began.
    #[serde(default = "legacy_chunk")]
    chunk: usize,
    /// The import's id, once a row was imported.
    import: Option<Uuid>,
    /// Imported rows.
    taken: u64,
    /// Number of errors that the chunk commands reported for valid rows. A resumed import can't find these again by reading the file.
    #[serde(default)]
    errors: u64,
}

fn legacy_chunk() -> usize {
    LEGACY_CHUNK
}

impl Default for ImportPlace {
    /// The start of an import.
    fn default() -> Self {
        Self { chunks: 0, chunk: CHUNK, import: None, taken: 0, errors: 0 }
    }
}

/// A completed chunk.
#[derive(Clone, Debug)]
pub struct ImportedChunk {
    /// Rows processed so far, including this chunk's.
    pub rows: u64,
    /// Errors in rows of this chunk.
    pub errors: Vec<RowError>,
    /// The log's position after its append; `None` if no row of it was imported.
    pub position: Option<Position>,
}

/// The rows of a chunk as read from the file, before its command ran.
struct ReadChunk<R> {
    rows: Vec<R>,
    errors: Vec<RowError>,
    count: u64,
}

impl<'a, I: Import> Importing<'a, I> {
    /// Opens an import and continues at `place`. File, options and the request's command id must be the same as before, and there must be a
    /// command id, because each chunk is executed exactly once under it. `most_rows`: the maximum rows of a file.
    ///
    /// # Errors
    /// As for [`check`](crate::check).
    pub async fn open(
        executor: &'a Executor,
        request: &'a Request,
        csv: &'a [u8],
        import: &'a I,
        most_rows: u64,
        place: ImportPlace,
    ) -> Result<Self, Refusal> {
        let sheet = Sheet::read(csv, import.mapping(), most_rows)?;
        import.allow(&request.caller, &sheet)?;
        let (records, report) = (sheet.records.clone(), ImportReport::of(sheet.rows()));
        let (seen, ahead, began) = (I::Seen::default(), VecDeque::new(), Instant::now());
        let mut importing =
            Self { executor, request, import, sheet, records, seen, report, read: 0, place, ahead, began };
        // Reads the completed chunks again for their errors, because the report covers the whole file.
        for _ in 0..place.chunks {
            let Some(done) = importing.read() else { break };
            importing.read += done.count;
            importing.report.refuse(done.errors);
            // Reading many chunks takes long; other tasks need this thread.
            tokio::task::yield_now().await;
        }
        importing.report.import_id = place.import;
        importing.report.taken = place.taken;
        importing.report.error_count += place.errors;
        Ok(importing)
    }

    /// Rows of the file.
    pub fn rows(&self) -> u64 {
        self.sheet.rows()
    }

    /// The import's id; `None` until a row was imported.
    pub fn import_id(&self) -> Option<Uuid> {
        self.report.import_id
    }

    /// The current checkpoint, from which the import can be resumed.
    pub fn place(&self) -> ImportPlace {
        self.place
    }

    /// The report on the rows so far.
    pub fn report(&self) -> ImportReport {
        self.report.clone().finished()
    }

    /// Imports the next chunk; `None` if there are no more rows.
    ///
    /// # Errors
    /// If the log fails or the chunk's command is refused. Nothing of this chunk was written then, unless the log's outcome is unknown.
    pub async fn step(&mut self) -> Result<Option<ImportedChunk>, Refusal> {
        self.began = Instant::now();
        let Some(chunk) = self.read() else { return Ok(None) };
        let number = self.place.chunks + 1;
        let (mut reached, mut unfit) = (None, Vec::new());
        if !chunk.rows.is_empty() {
            let command = self.import.chunk(self.report.import_id, chunk.rows);
            let outcome = self.executor.execute_part(self.request, number, &command).await;
            reached = outcome.as_ref().ok().map(|done| done.position);
            unfit = self.note(outcome.map(|done| done.answer))?;
        }
        self.ahead.extend(reached);
        self.place = ImportPlace {
            chunks: number,
            import: self.report.import_id,
            taken: self.report.taken,
            errors: self.place.errors + unfit.len() as u64,
            ..self.place
        };
        let errors = self.record_errors(chunk.count, chunk.errors, unfit);
        Ok(Some(ImportedChunk { rows: self.read, errors, position: reached }))
    }

    /// Dry run of the next chunk; returns false if there are no more rows.
    ///
    /// # Errors
    /// If the log can't be read, or the chunk's refusal.
    pub(crate) async fn dry_run(&mut self) -> Result<bool, Refusal> {
        let Some(chunk) = self.read() else { return Ok(false) };
        let mut unfit = Vec::new();
        if !chunk.rows.is_empty() {
            let command = self.import.chunk(self.report.import_id, chunk.rows);
            let outcome = self.executor.dry_run(self.request, &command).await;
            unfit = self.note(outcome)?;
        }
        self.record_errors(chunk.count, chunk.errors, unfit);
        Ok(true)
    }

    /// Notes the outcome of a chunk's command in the report. Returns the errors of well-formed rows.
    fn note(&mut self, outcome: Result<Taken, Refusal>) -> Result<Vec<RowError>, Refusal> {
        match outcome {
            Ok(Taken { import, taken, errors }) => {
                // A chunk that was written by an earlier attempt names the import of that attempt.
                self.report.import_id = Some(import);
                self.report.taken += taken;
                Ok(errors)
            }
            Err(refusal) => errors_of(refusal),
        }
    }

    /// Waits until the consumer is at most `AHEAD` chunks behind, or `AHEAD_BESIDE_OTHERS` while other tenants write, so that their events
    /// do not wait behind many rows of this file. While other tenants write, it then also pauses for `PAUSE_FACTOR` times the duration of
    /// the chunk, to leave them most of the time.
    pub async fn keep_pace(&mut self, pace: &impl Pace) {
        let others = self.executor.other_tenants_queued_within(self.request.caller.tenant(), RECENTLY);
        let allowed = if others { AHEAD_BESIDE_OTHERS } else { AHEAD };
        while self.ahead.len() > allowed
            && let Some(position) = self.ahead.pop_front()
        {
            pace.reached(position).await;
        }
        if others {
            tokio::time::sleep((self.began.elapsed() * PAUSE_FACTOR).min(MAX_PAUSE)).await;
        }
    }

    /// Records that the import is complete.
    ///
    /// # Errors
    /// As for [`Executor::execute`].
    pub async fn complete(self) -> Result<Done<ImportReport>, Refusal> {
        self.executor.execute(self.request, &self.import.complete(self.report.finished())).await
    }

    /// Adds the errors of a chunk to the report, sorted by line: those of malformed rows and those that its command reported (`unfit`).
    fn record_errors(&mut self, count: u64, mut errors: Vec<RowError>, unfit: Vec<RowError>) -> Vec<RowError> {
        self.read += count;
        let header = |field: String| self.sheet.header(&field).unwrap_or(field);
        errors.extend(unfit.into_iter().map(|error| RowError { column: error.column.map(header), ..error }));
        errors.sort_by_key(|error| error.line);
        self.report.refuse(errors.clone());
        errors
    }

    /// Reads the next chunk of the file; `None` if there are no more rows. A chunk's size counts all rows, including invalid and blank
    /// ones, so that the same file is always split into the same chunks.
    fn read(&mut self) -> Option<ReadChunk<I::Row>> {
        let now: DateTime<Utc> = self.executor.now();
        let Self { records, sheet, import, seen, place, .. } = self;
        let mut records = records.flatten().take(place.chunk).peekable();
        records.peek()?;
        let mut chunk = ReadChunk { rows: Vec::new(), errors: Vec::new(), count: 0 };
        for record in records.filter(|record| !record.is_blank()) {
            chunk.count += 1;
            match row::read(*import, seen, &record, sheet, now) {
                Ok(row) => chunk.rows.push(row),
                Err(errors) => chunk.errors.extend(errors),
            }
        }
        Some(chunk)
    }
}
