//! Import batch: the record of one file that was imported.

use std::convert::Infallible;

use kernel::Aggregate;
use serde::{Deserialize, Serialize};

kernel::events! {
    /// What can happen to an import.
    pub enum ImportBatchEvent of "crm.import_batch" {
        /// A file was read: this many rows became records, this many were refused.
        ImportCompleted = "crm.import_batch.completed" @ 1 {
            /// What the rows are: `lead`.
            pub kind: String,
            pub rows: u64,
            pub taken: u64,
            pub refused: u64,
        },
    }
}

/// An import that is done.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ImportBatch {
    pub rows: u64,
    pub taken: u64,
    pub refused: u64,
}

/// What can be asked of an import.
#[derive(Clone, Debug, PartialEq)]
pub enum ImportBatchCommand {
    Complete(ImportCompleted),
}

impl Aggregate for ImportBatch {
    const TYPE: &'static str = "crm.import_batch";
    type Command = ImportBatchCommand;
    type Event = ImportBatchEvent;
    type Error = Infallible;

    fn decide(&self, command: ImportBatchCommand) -> Result<Vec<ImportBatchEvent>, Infallible> {
        let ImportBatchCommand::Complete(completed) = command;
        Ok(vec![completed.into()])
    }

    fn evolve(&mut self, event: ImportBatchEvent) {
        let ImportBatchEvent::ImportCompleted(completed) = event;
        (self.rows, self.taken, self.refused) = (completed.rows, completed.taken, completed.refused);
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
        assert_eq!(batch, ImportBatch { rows: 3, taken: 2, refused: 1 });
    }
}
