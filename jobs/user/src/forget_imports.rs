//! Removes uploaded import files of users after a person was erased, because the files may contain their data.

use executor::Command as _;
use jobs::Kind;
use projector::ReadModels;
use user_commands::EraseUser;

use crate::IMPORT_USERS;

/// The kind's name. The append that erases a person submits it, without arguments.
pub const FORGET_IMPORTS: &str = "forget_imports";

pub(crate) fn kind(read_models: ReadModels) -> Kind {
    import_jobs::forgetting(FORGET_IMPORTS, &[IMPORT_USERS], read_models).guarded(EraseUser::PERMISSION)
}
