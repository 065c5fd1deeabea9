//! The user service's jobs (background work): one file for each kind of job, with its arguments and its handler.
//!
//! To add one: its file here with a `kind(…)`, its `mod` line and its line in [`kinds`]; and the operation that requests it in
//! `api/user`. The queue itself is in `jobs/queue`. See `docs/src/jobs.md`.

mod forget_imports;
mod import_users;

use std::sync::Arc;

use executor::Executor;
use jobs::Kinds;
use kernel::Machines;
use projector::ReadModels;
use user_commands::Catalogue;

pub use forget_imports::FORGET_IMPORTS;
pub use import_users::{IMPORT_USERS, ImportUsers};

/// What users are imported with. Cheap to clone.
#[derive(Clone)]
pub struct Importers {
    /// Over the user service's log.
    pub executor: Executor,
    /// What there is to be allowed.
    pub catalogue: Catalogue,
    /// Who knows how it stands with machines that asked for an import.
    pub machines: Arc<dyn Machines>,
}

/// All kinds of jobs of the user service, over its read models and its write side; none: they are looked after here, not run.
pub fn kinds(read_models: &ReadModels, importers: Option<Importers>) -> Kinds {
    let all = vec![import_users::kind(read_models.clone(), importers), forget_imports::kind(read_models.clone())];
    Kinds::new("user:job:read", "user:job:write", all)
}
