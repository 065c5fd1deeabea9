//! Imports leads from a CSV file that is too large for a synchronous request.

use std::collections::BTreeMap;

use crm_aggregates::{ImportBatchError, LeadSource};
use crm_commands::{IMPORT, LeadImport, importer};
use executor::Executor;
use jobs::{Fault, Kind, Work};
use kernel::Refusal;
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
    /// Whether the caller could record leads as captured earlier than now when submitting. The import can do so as long as they still can.
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
    let age = Some(import_jobs::age(&work).await?);
    let options = LeadImport { mapping, source, age, ..LeadImport::default() };
    match import_jobs::run(&executor, &read_models, &work, caller, &options).await {
        // A person decided so: there is nothing to try again, and nothing that operators have to mend.
        Err(Fault::Failed { code, .. }) if code == Refusal::from(ImportBatchError::AlreadyReverted).code() => {
            work.log("the import is reverted, so no further rows are imported").await?;
            Err(Fault::Cancelled)
        }
        ended => ended,
    }
}
