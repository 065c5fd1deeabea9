//! Import batch: the record of one file that was imported.

use kernel::{Aggregate, Refusal};
use serde::{Deserialize, Serialize};

kernel::events! {
    /// The events of an import.
    pub enum ImportBatchEvent of "crm.import_batch" {
        /// An import of a file was completed.
        ImportCompleted = "crm.import_batch.completed" @ 1 {
            /// The kind of record that the rows contain: `lead`.
            pub kind: String,
            /// Number of rows in the file, without its header.
            pub rows: u64,
            /// Number of rows that were imported as records.
            pub taken: u64,
            /// Number of rows that were refused.
            pub refused: u64,
        },
        /// A revert of the import was requested: its records are to be withdrawn.
        ImportRevertRequested = "crm.import_batch.revert_requested" @ 1 {
            /// Why, as free text.
            pub reason: String,
        },
        /// The import was reverted. Its records were withdrawn, except those that had been changed since the import.
        ImportReverted = "crm.import_batch.reverted" @ 1 {
            /// Number of records that were withdrawn.
            pub withdrawn: u64,
            /// Number of records that were kept, because they had been changed since the import.
            pub kept: u64,
        },
        /// The request to revert the import was withdrawn.
        ImportRevertWithdrawn = "crm.import_batch.revert_withdrawn" @ 1 {},
    }
}

/// A completed import, or one that was interrupted and whose revert was requested.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ImportBatch {
    pub rows: u64,
    pub taken: u64,
    pub refused: u64,
    /// Whether it is reverted.
    #[serde(default)]
    pub revert: Revert,
}

/// The state of reverting an import.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Revert {
    /// Not reverted.
    #[default]
    None,
    /// The revert is running.
    Requested,
    /// Reverted.
    Done,
}

/// Why an import refuses a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImportBatchError {
    /// It is reverted, or is being reverted.
    #[error("the import was reverted already or is being reverted")]
    AlreadyReverted,
    /// No revert was requested.
    #[error("no revert of the import was requested")]
    NotRequested,
}

impl From<ImportBatchError> for Refusal {
    fn from(error: ImportBatchError) -> Self {
        let code = match error {
            ImportBatchError::AlreadyReverted => "import_already_reverted",
            ImportBatchError::NotRequested => "import_revert_not_requested",
        };
        Self::conflict(code, error.to_string())
    }
}

/// Commands for an import.
#[derive(Clone, Debug, PartialEq)]
pub enum ImportBatchCommand {
    Complete(ImportCompleted),
    RequestRevert { reason: String },
    CompleteRevert(ImportReverted),
    WithdrawRevert,
}

impl ImportBatch {
    /// Whether the whole file was processed. A file has at least one row.
    pub const fn is_complete(&self) -> bool {
        self.rows > 0
    }
}

impl Aggregate for ImportBatch {
    const TYPE: &'static str = "crm.import_batch";
    type Command = ImportBatchCommand;
    type Event = ImportBatchEvent;
    type Error = ImportBatchError;

    fn decide(&self, command: ImportBatchCommand) -> Result<Vec<ImportBatchEvent>, ImportBatchError> {
        Ok(match (command, self.revert) {
            (ImportBatchCommand::Complete(_), Revert::None) if self.is_complete() => vec![],
            (ImportBatchCommand::Complete(completed), Revert::None) => vec![completed.into()],
            (ImportBatchCommand::RequestRevert { reason }, Revert::None) => {
                vec![ImportRevertRequested { reason }.into()]
            }
            (ImportBatchCommand::Complete(_) | ImportBatchCommand::RequestRevert { .. }, _) => {
                return Err(ImportBatchError::AlreadyReverted);
            }
            (ImportBatchCommand::CompleteRevert(_), Revert::None) => return Err(ImportBatchError::NotRequested),
            (ImportBatchCommand::CompleteRevert(reverted), Revert::Requested) => vec![reverted.into()],
            (ImportBatchCommand::CompleteRevert(_), Revert::Done)
            | (ImportBatchCommand::WithdrawRevert, Revert::None) => vec![],
            (ImportBatchCommand::WithdrawRevert, _) => vec![ImportRevertWithdrawn {}.into()],
        })
    }

    fn evolve(&mut self, event: ImportBatchEvent) {
        match event {
            ImportBatchEvent::ImportCompleted(completed) => {
                (self.rows, self.taken, self.refused) = (completed.rows, completed.taken, completed.refused);
            }
            ImportBatchEvent::ImportRevertRequested(_) => self.revert = Revert::Requested,
            ImportBatchEvent::ImportReverted(_) => self.revert = Revert::Done,
            ImportBatchEvent::ImportRevertWithdrawn(_) => self.revert = Revert::None,
        }
    }
}

kernel::aggregate!(ImportBatch);

#[cfg(test)]
mod tests {
    use cqrs_es::test::TestFramework;

    use super::*;

    #[test]
    fn a_completed_import_says_how_many_rows_it_took() {
        let completed = ImportCompleted { kind: "lead".to_owned(), rows: 3, taken: 2, refused: 1 };
        TestFramework::<ImportBatch>::with(())
            .given_no_previous_events()
            .when(ImportBatchCommand::Complete(completed.clone()))
            .then_expect_events(vec![completed.clone().into()]);
        let mut batch = ImportBatch::default();
        batch.evolve(completed.into());
        assert_eq!(batch, ImportBatch { rows: 3, taken: 2, refused: 1, revert: Revert::None });
    }

    #[test]
    fn an_import_is_reverted_once_unless_that_was_taken_back() {
        let completed = || ImportCompleted { kind: "lead".to_owned(), rows: 3, taken: 2, refused: 1 }.into();
        let request = || ImportBatchCommand::RequestRevert { reason: "the wrong list".to_owned() };
        let requested = || ImportRevertRequested { reason: "the wrong list".to_owned() }.into();
        let reverted = || ImportReverted { withdrawn: 1, kept: 1 };
        let given = |events| TestFramework::<ImportBatch>::with(()).given(events);
        given(vec![completed()]).when(request()).then_expect_events(vec![requested()]);
        for done in [vec![completed(), requested()], vec![completed(), requested(), reverted().into()]] {
            given(done.clone()).when(request()).then_expect_error(ImportBatchError::AlreadyReverted);
            let mut withdrawn = done;
            withdrawn.push(ImportRevertWithdrawn {}.into());
            given(withdrawn).when(request()).then_expect_events(vec![requested()]);
        }
        given(vec![completed()])
            .when(ImportBatchCommand::CompleteRevert(reverted()))
            .then_expect_error(ImportBatchError::NotRequested);
    }

    #[test]
    fn an_import_that_was_interrupted_is_not_completed_while_it_is_reverted() {
        let completed = ImportCompleted { kind: "lead".to_owned(), rows: 3, taken: 2, refused: 1 };
        let requested = || ImportBatchEvent::from(ImportRevertRequested { reason: "the wrong list".to_owned() });
        let complete = || ImportBatchCommand::Complete(completed.clone());
        let given = |events| TestFramework::<ImportBatch>::with(()).given(events);
        given(vec![requested()]).when(complete()).then_expect_error(ImportBatchError::AlreadyReverted);
        given(vec![requested(), ImportReverted { withdrawn: 2, kept: 0 }.into()])
            .when(complete())
            .then_expect_error(ImportBatchError::AlreadyReverted);
        let resumed = vec![requested(), ImportRevertWithdrawn {}.into()];
        given(resumed.clone()).when(complete()).then_expect_events(vec![completed.clone().into()]);
        let once = [resumed, vec![completed.clone().into()]].concat();
        given(once).when(complete()).then_expect_events(vec![]);
        let mut batch = ImportBatch::default();
        batch.evolve(requested());
        assert!(!batch.is_complete());
        batch.evolve(completed.into());
        assert!(batch.is_complete());
    }
}
