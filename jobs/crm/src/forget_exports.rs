//! Somebody was erased: files of leads that were exported, or sent to be imported, before may tell who they were.

use jobs::Kind;
use projector::ReadModels;

use crate::{EXPORT_LEADS, IMPORT_LEADS};

/// The kind's name. It is asked for in the append that erases, without arguments.
pub const FORGET_EXPORTS: &str = "forget_exports";

pub(crate) fn kind(read_models: ReadModels) -> Kind {
    import_jobs::forgetting(FORGET_EXPORTS, &[EXPORT_LEADS, IMPORT_LEADS], read_models)
}
