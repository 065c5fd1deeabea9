//! An import that is under way, chunk by chunk.

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

/// How many chunks an import is ahead of whom it has to wait for: so many that they always have enough to do.
const AHEAD: usize = 10;
/// The same while other tenants write: while one is dealt with, the next is read and written.
const AHEAD_BESIDE_OTHERS: usize = 1;
/// How much of the time belongs to other tenants while they write: so many times what a chunk has taken; and the longest rest. (Half
/// of the time was tried: who waited for a row then waited twice as long as with three quarters.)
const THEIRS: u32 = 3;
const REST: Duration = Duration::from_millis(150);
/// Who wrote so lately writes.
const LATELY: Duration = Duration::from_secs(1);
/// The rows of a chunk before places told them.
const FORMER_CHUNK: usize = 500;

/// An import that is under way: whoever does it may stop between any two chunks, and go on later, or elsewhere, where it was.
pub struct Importing<'a, I: Import> {
    executor: &'a Executor,
    request: &'a Request,
    import: &'a I,
    sheet: Sheet<'a, I::Field>,
    records: Records<'a>,
    seen: I::Seen,
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
    import: Option<Uuid>,
    /// Rows that were taken.
    taken: u64,
    /// What was wrong with well-formed rows: that can't be seen again in the file.
    #[serde(default)]
    errors: u64,
}

fn former_chunk() -> usize {
    FORMER_CHUNK
}

impl Default for ImportPlace {
    /// Where an import begins.
    fn default() -> Self {
        Self { chunks: 0, chunk: CHUNK, import: None, taken: 0, errors: 0 }
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
struct Read<R> {
    rows: Vec<R>,
    errors: Vec<RowError>,
    count: u64,
}

impl<'a, I: Import> Importing<'a, I> {
    /// An import that goes on at `place`, with the same file and options as before, under the same command id, which has to be there:
    /// each chunk is done once under it. `most_rows`: what a file may have.
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
        // What is done is read once more for what is wrong with it: the report speaks of the whole file.
        for _ in 0..place.chunks {
            let Some(done) = importing.read() else { break };
            importing.read += done.count;
            importing.report.refuse(done.errors);
            // Many of them take long, and others wait for this thread.
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
        let Some(chunk) = self.read() else { return Ok(None) };
        let number = self.place.chunks + 1;
        let (mut reached, mut unfit) = (None, Vec::new());
        if !chunk.rows.is_empty() {
            let command = self.import.chunk(self.report.import_id, chunk.rows);
            match self.executor.execute_part(self.request, number, &command).await {
                Ok(Done { answer: Taken { import, taken, errors }, position, .. }) => {
                    // A chunk that was written by an earlier attempt names the import of that attempt.
                    self.report.import_id = Some(import);
                    self.report.taken += taken;
                    (reached, unfit) = (Some(position), errors);
                }
                Err(refusal) => unfit = errors_of(refusal)?,
            }
        }
        self.ahead.extend(reached);
        self.place = ImportPlace {
            chunks: number,
            import: self.report.import_id,
            taken: self.report.taken,
            errors: self.place.errors + unfit.len() as u64,
            ..self.place
        };
        let errors = self.noted(chunk.count, chunk.errors, unfit);
        Ok(Some(ImportedChunk { rows: self.read, errors, position: reached }))
    }

    /// What the next chunk would become, and nothing is written; false: there are no more rows.
    ///
    /// # Errors
    /// When the log can't be read, or what the chunk itself would be refused with.
    pub(crate) async fn rehearse(&mut self) -> Result<bool, Refusal> {
        let Some(chunk) = self.read() else { return Ok(false) };
        let mut unfit = Vec::new();
        if !chunk.rows.is_empty() {
            let command = self.import.chunk(self.report.import_id, chunk.rows);
            match self.executor.rehearse(self.request, &command).await {
                Ok(Taken { import, taken, errors }) => {
                    self.report.import_id = Some(import);
                    self.report.taken += taken;
                    unfit = errors;
                }
                Err(refusal) => unfit = errors_of(refusal)?,
            }
        }
        self.noted(chunk.count, chunk.errors, unfit);
        Ok(true)
    }

    /// Waits until whoever has to keep up is near enough: nearer while other tenants write, so that what they wait for is not
    /// behind many rows of this file. And then three times as long as the chunk has taken, so that most of the time is theirs.
    pub async fn keep_pace(&mut self, pace: &impl Pace) {
        let others = self.executor.others_write(self.request.caller.tenant(), LATELY);
        let allowed = if others { AHEAD_BESIDE_OTHERS } else { AHEAD };
        while self.ahead.len() > allowed
            && let Some(position) = self.ahead.pop_front()
        {
            pace.reached(position).await;
        }
        if others {
            tokio::time::sleep((self.began.elapsed() * THEIRS).min(REST)).await;
        }
    }

    /// Records that the import is complete.
    ///
    /// # Errors
    /// As for [`Executor::execute`].
    pub async fn complete(self) -> Result<Done<ImportReport>, Refusal> {
        self.executor.execute(self.request, &self.import.complete(self.report.finished())).await
    }

    /// Notes what is wrong with a chunk, in the order of its lines: with its form, and with what well-formed rows say.
    fn noted(&mut self, count: u64, mut errors: Vec<RowError>, unfit: Vec<RowError>) -> Vec<RowError> {
        self.read += count;
        let header = |field: String| self.sheet.header(&field).unwrap_or(field);
        errors.extend(unfit.into_iter().map(|error| RowError { column: error.column.map(header), ..error }));
        errors.sort_by_key(|error| error.line);
        self.report.refuse(errors.clone());
        errors
    }

    /// The next rows of the file; none: there are no more. Chunks are counted in rows of the file, good, bad or blank, so that the same
    /// file always falls into the same chunks.
    fn read(&mut self) -> Option<Read<I::Row>> {
        let now: DateTime<Utc> = self.executor.now();
        let Self { records, sheet, import, seen, place, .. } = self;
        let mut records = records.flatten().take(place.chunk).peekable();
        records.peek()?;
        let mut chunk = Read { rows: Vec::new(), errors: Vec::new(), count: 0 };
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
