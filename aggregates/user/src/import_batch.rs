//! Import batch: the record of one file of users that was imported.

use kernel::Aggregate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

kernel::events! {
    /// Events of an import of users.
    pub enum ImportBatchEvent of "user.import_batch" {
        /// A file of users was imported. Counts how many rows were imported and how many were refused.
        ImportCompleted = "user.import_batch.completed" @ 1 {
            /// What the rows were imported as.
            pub kind: ImportKind,
            pub rows: u64,
            pub taken: u64,
            pub refused: u64,
        },
    }
}

/// What the rows of a file are imported as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ImportKind {
    /// Users, at once.
    #[default]
    Users,
    /// Invitations, which are sent by e-mail.
    Invitations,
}

/// A completed import.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ImportBatch {
    pub kind: ImportKind,
    pub rows: u64,
    pub taken: u64,
    pub refused: u64,
}

/// Commands for an import.
#[derive(Clone, Debug, PartialEq)]
pub enum ImportBatchCommand {
    Complete(ImportCompleted),
}

impl Aggregate for ImportBatch {
    const TYPE: &'static str = "user.import_batch";
    type Command = ImportBatchCommand;
    type Event = ImportBatchEvent;
    type Error = std::convert::Infallible;

    fn decide(&self, command: ImportBatchCommand) -> Result<Vec<ImportBatchEvent>, Self::Error> {
        let ImportBatchCommand::Complete(completed) = command;
        Ok(vec![completed.into()])
    }

    fn evolve(&mut self, event: ImportBatchEvent) {
        let ImportBatchEvent::ImportCompleted(ImportCompleted { kind, rows, taken, refused }) = event;
        *self = Self { kind, rows, taken, refused };
    }
}

kernel::aggregate!(ImportBatch);

#[cfg(test)]
mod tests {
    use cqrs_es::test::TestFramework;

    use super::*;

    #[test]
    fn a_completed_import_says_what_became_of_its_rows() {
        let completed = ImportCompleted { kind: ImportKind::Invitations, rows: 3, taken: 2, refused: 1 };
        TestFramework::<ImportBatch>::with(())
            .given_no_previous_events()
            .when(ImportBatchCommand::Complete(completed.clone()))
            .then_expect_events(vec![completed.clone().into()]);
        let mut batch = ImportBatch::default();
        batch.evolve(completed.into());
        assert_eq!(batch, ImportBatch { kind: ImportKind::Invitations, rows: 3, taken: 2, refused: 1 });
    }
}
