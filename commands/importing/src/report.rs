//! Reports of an import and of its chunks.

use kernel::{Kind, Refusal};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// Maximum errors that a report lists.
const LISTED_ERRORS: usize = 1_000;

/// The code with which a chunk's command refuses if it can import none of its rows.
const NONE_TAKEN: &str = "import_takes_no_row";

/// The report of an import.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportReport {
    /// The import's id; `None` in a dry run.
    pub import_id: Option<Uuid>,
    /// Rows in the file, without its header, empty lines and rows of empty cells.
    pub rows: u64,
    /// Rows that were imported (in a dry run: that would be).
    pub taken: u64,
    /// Rows that were refused.
    pub refused: u64,
    /// The first 1,000 errors.
    pub errors: Vec<RowError>,
    /// Total number of errors.
    pub error_count: u64,
}

/// One error in one row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowError {
    /// Line of the file on which the row begins, from 1.
    pub line: u64,
    /// The column's header; `None` if the error concerns the row as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// Stable code, for programs.
    pub code: String,
    /// What was wrong and what is allowed, for people.
    pub detail: String,
}

/// The result of a chunk's command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// The import that it belongs to.
    pub import: Uuid,
    /// How many of its rows were imported.
    pub taken: u64,
    /// Errors in the other rows; their columns are named by field.
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

    /// The refusal of a file of which no row can be imported; nothing was written.
    pub(crate) fn nothing_taken(&self) -> Refusal {
        let detail = format!("none of the {} rows can be imported; row_errors lists the reasons by row", self.rows);
        Refusal::invalid("csv_no_row_taken", detail)
            .with("row_errors", json(&self.errors))
            .with("error_count", self.error_count)
    }
}

/// The refusal of a chunk none of whose rows can be imported. Nothing of the chunk is written, and the import continues with the next.
pub fn none_taken(errors: &[RowError]) -> Refusal {
    Refusal::conflict(NONE_TAKEN, "none of these rows can be imported").with("row_errors", json(errors))
}

/// The row errors of a chunk that was refused with [`none_taken`]; any other refusal ends the import and is returned as an error.
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
