//! Imports leads from a CSV file that is too large for a synchronous request.

use std::collections::BTreeMap;

use crm_aggregates::LeadSource;
use crm_commands::{IMPORT, LeadImport, importer};
use executor::Executor;
use jobs::{Fault, Kind, Work};
use projector::ReadModels;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The kind's name.
pub const IMPORT_LEADS: &str = "import_leads";

/// How the job's file is to be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportLeads {
    /// Header in the file → field of the lead, for headers that are not named like the field.
    pub mapping: BTreeMap<String, String>,
    /// The source of rows that name none.
    pub source: LeadSource,
    /// Whether the caller may record leads as captured earlier than now.
    pub backdate: bool,
}

pub(crate) fn kind(read_models: ReadModels, executor: Option<Executor>) -> Kind {
    let kind = Kind::new(IMPORT_LEADS, move |work| import(read_models.clone(), executor.clone(), work));
    import_jobs::described(kind, IMPORT)
}

async fn import(read_models: ReadModels, executor: Option<Executor>, work: Work) -> Result<Value, Fault> {
    let Some(executor) = executor else {
        return Err(Fault::failed("not_run_here", "this process does not write leads"));
    };
    let ImportLeads { mapping, source, backdate } = work.arguments()?;
    let caller = importer(work.tenant(), work.actor(), backdate);
    import_jobs::run(&executor, &read_models, &work, caller, &LeadImport { mapping, source }).await
}
