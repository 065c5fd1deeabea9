//! Import of leads from a CSV file.

use std::collections::BTreeMap;

use crm_aggregates::{ImportId, LeadSource};
use executor::{Done, Executor, Request};
use kernel::Refusal;
use serde::{Deserialize, Serialize};

/// How a file is to be read.
#[derive(Clone, Debug, Default)]
pub struct ImportOptions {
    /// Only check: nothing is written.
    pub dry_run: bool,
    /// Header of the file → field of the lead, for headers that are not named like the field.
    pub mapping: BTreeMap<String, String>,
    /// Where rows without a source came from.
    pub source: LeadSource,
}

/// What became of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportReport {
    /// The import's id; none: a dry run.
    pub import_id: Option<ImportId>,
    /// Rows in the file, without its header.
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

/// Imports leads from a CSV file.
#[expect(clippy::todo, unused_variables, reason = "being written")]
pub async fn import_leads(
    executor: &Executor,
    request: &Request,
    csv: &[u8],
    options: &ImportOptions,
) -> Result<Done<ImportReport>, Refusal> {
    todo!()
}
