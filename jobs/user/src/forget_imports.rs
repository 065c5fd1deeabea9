//! Somebody was erased: files of users that were sent to be imported before may tell who they were.

use jobs::Kind;
use projector::ReadModels;

use crate::IMPORT_USERS;

/// The kind's name. It is asked for in the append that erases, without arguments.
pub const FORGET_IMPORTS: &str = "forget_imports";

pub(crate) fn kind(read_models: ReadModels) -> Kind {
    import_jobs::forgetting(FORGET_IMPORTS, &[IMPORT_USERS], read_models)
}
