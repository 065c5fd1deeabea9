//! CRM's jobs (background work): one file for each kind of job, with its arguments and its handler.
//!
//! To add one, write its file with a `kind(…)`, its `mod` line and its line in [`kinds`], and the operation that submits it in `api/crm`.
//! The queue itself is in `jobs/queue`. See `docs/src/jobs.md`.

mod export_leads;
mod forget_exports;
mod import_leads;

use executor::{Executor, Subjects};
use jobs::Kinds;
use projector::ReadModels;

pub use export_leads::{EXPORT, EXPORT_LEADS, ExportLeads};
pub use forget_exports::FORGET_EXPORTS;
pub use import_leads::{IMPORT_LEADS, ImportLeads};

/// What imports of leads need. Cheap to clone.
#[derive(Clone)]
pub struct Importers {
    /// The executor over CRM's log.
    pub executor: Executor,
    /// Looks up what who submitted an import may do now.
    pub subjects: Subjects,
}

/// All kinds of jobs of CRM. Without `importers` the process can list and change jobs, but can't execute imports.
pub fn kinds(read_models: &ReadModels, importers: Option<Importers>) -> Kinds {
    let all = vec![
        export_leads::kind(read_models.clone()),
        import_leads::kind(read_models.clone(), importers),
        forget_exports::kind(read_models.clone()),
    ];
    Kinds::new("crm:job:read", "crm:job:write", all)
}
