//! CRM's jobs (background work): one file for each kind of job, with its arguments and its handler.
//!
//! To add one, write its file with a `kind(…)`, its `mod` line and its line in [`kinds`], and the operation that submits it in `api/crm`.
//! The queue itself is in `jobs/queue`. See `docs/src/jobs.md`.

mod export_leads;
mod forget_exports;
mod import_leads;

use executor::Executor;
use jobs::Kinds;
use projector::ReadModels;

pub use export_leads::{EXPORT, EXPORT_LEADS, ExportLeads};
pub use forget_exports::FORGET_EXPORTS;
pub use import_leads::{IMPORT_LEADS, ImportLeads};

/// All kinds of jobs of CRM. Without an executor over CRM's log the process can list and change jobs, but can't execute imports.
pub fn kinds(read_models: &ReadModels, executor: Option<Executor>) -> Kinds {
    let all = vec![
        export_leads::kind(read_models.clone()),
        import_leads::kind(read_models.clone(), executor),
        forget_exports::kind(read_models.clone()),
    ];
    Kinds::new("crm:job:read", "crm:job:write", all)
}
