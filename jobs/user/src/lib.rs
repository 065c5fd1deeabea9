//! The user service's jobs (background work): one file for each kind of job, with its arguments and its handler.
//!
//! To add one, write its file with a `kind(…)`, its `mod` line and its line in [`kinds`], and the operation that submits it in `api/user`.
//! The queue itself is in `jobs/queue`. See `docs/src/jobs.md`.

mod forget_imports;
mod import_users;

use executor::Executor;
use jobs::Kinds;
use projector::ReadModels;
use user_commands::SubjectsInLog;

pub use forget_imports::FORGET_IMPORTS;
pub use import_users::{IMPORT_USERS, ImportUsers};

/// What imports of users need. Cheap to clone.
#[derive(Clone)]
pub struct Importers {
    /// The executor over the user service's log.
    pub executor: Executor,
    /// Looks up what who submitted an import may do now.
    pub requesters: SubjectsInLog,
}

/// All kinds of jobs of the user service. Without `importers` the process can list and change jobs, but can't execute imports.
pub fn kinds(read_models: &ReadModels, importers: Option<Importers>) -> Kinds {
    let all = vec![import_users::kind(read_models.clone(), importers), forget_imports::kind(read_models.clone())];
    Kinds::new("user:job:read", "user:job:write", all)
}
