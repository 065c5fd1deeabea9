//! The user service's jobs: one file each, with what it is asked for and its handler.
//!
//! To add one: its file here with a `kind(…)`, its `mod` line and its place in [`kinds`]; the operation that asks for it in
//! `api/user`. See `docs/src/jobs.md`.

mod import_users;

use executor::Executor;
use jobs::Kinds;
use projector::ReadModels;
use user_commands::Catalogue;

pub use import_users::{IMPORT_USERS, ImportUsers};

/// All kinds of jobs of the user service, over its read models and its write side with what there is to be allowed; none: they are
/// looked after here, not run.
pub fn kinds(read_models: &ReadModels, writing: Option<(&Executor, Catalogue)>) -> Kinds {
    let writing = writing.map(|(executor, catalogue)| (executor.clone(), catalogue));
    let all = vec![import_users::kind(read_models.clone(), writing)];
    Kinds::new("user:job:read", "user:job:write", all)
}
