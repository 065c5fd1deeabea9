//! CRM's jobs: one file each, with what it is asked for and its handler.
//!
//! To add one: its file here with a `kind(…)`, its `mod` line and its place in [`kinds`]; the operation that asks for it in
//! `api/crm`. See `docs/src/jobs.md`.

mod export_leads;

use jobs::Kinds;
use projector::ReadModels;

pub use export_leads::{EXPORT, EXPORT_LEADS, ExportLeads};

/// All kinds of jobs of CRM, over its read models.
pub fn kinds(read_models: &ReadModels) -> Kinds {
    Kinds::new("crm:job:read", "crm:job:write", vec![export_leads::kind(read_models.clone())])
}
