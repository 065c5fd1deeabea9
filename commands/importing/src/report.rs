//! What became of a file, and of a chunk of it.

use kernel::{Kind, Refusal};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// How many errors a report lists.
const LISTED_ERRORS: usize = 1_000;

/// The code by which a chunk says that it takes none of its rows.
const NONE_TAKEN: &str = "import_takes_no_row";

/// What became of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportReport {
    /// The import's id; none: a dry run.
    pub import_id: Option<Uuid>,
    /// Rows in the file, without its header, empty lines and rows of empty cells.
    pub rows: u64,
    /// Rows that were taken (dry run: that would have been).
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

/// What became of a chunk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// The import that it belongs to.
    pub import: Uuid,
    /// How many of its rows were taken.
    pub taken: u64,
    /// What is wrong with the others: their columns are named by field.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<RowError>,
}

impl ImportReport {
    pub(crate) fn of(rows: u64) -> Self {
        Self { import_id: None, rows, taken: 0, refused: 0, errors: Vec::new(), error_count: 0 }
    }

    pub(crate) fn refuse(&mut self, errors: Vec<RowError>) {
        self.error_count += errors.len() as u64;
        let room = LISTED_ERRORS - self.errors.len().min(LISTED_ERRORS);
        self.errors.extend(errors.into_iter().take(room));
    }

    pub(crate) fn finished(self) -> Self {
        Self { refused: self.rows - self.taken.min(self.rows), ..self }
    }

    /// A file of which nothing could be taken leaves nothing behind.
    pub(crate) fn nothing_taken(&self) -> Refusal {
        let detail = format!("none of the {} rows can be imported; row_errors lists the reasons by row", self.rows);
        Refusal::invalid("csv_no_row_taken", detail)
            .with("row_errors", json(&self.errors))
            .with("error_count", self.error_count)
    }
}

/// What a chunk refuses with that takes none of its rows: nothing of it is written, and the import goes on after it.
pub fn none_taken(errors: &[RowError]) -> Refusal {
    Refusal::conflict(NONE_TAKEN, "none of these rows can be imported").with("row_errors", json(errors))
}

/// What is wrong with the rows of a chunk that took none; anything else is a refusal of the import.
pub(crate) fn errors_of(refusal: Refusal) -> Result<Vec<RowError>, Refusal> {
    if (refusal.kind(), refusal.code()) != (Kind::Conflict, NONE_TAKEN) {
        return Err(refusal);
    }
    let errors = refusal.extra().get("row_errors").cloned().unwrap_or_default();
    serde_json::from_value(errors).map_err(|_| Refusal::internal("row_errors_unreadable", "a chunk says nothing clear"))
}

fn json(errors: &[RowError]) -> Value {
    serde_json::to_value(errors).unwrap_or_default()
}
