//! Import batch: the record of one file that was imported.

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
