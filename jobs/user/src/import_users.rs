//! Imports users from a CSV file that is too large for a synchronous request.

use std::collections::BTreeMap;

use jobs::{Fault, Kind, Work};
use kernel::Caller;
use projector::ReadModels;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use user_aggregates::ImportKind;
use user_commands::{IMPORT, UserImport};

use crate::Importers;

/// The kind's name.
pub const IMPORT_USERS: &str = "import_users";

/// How the job's file is to be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportUsers {
    /// What the rows become.
    pub kind: ImportKind,
    /// Header in the file → field of the user, for headers that are not named like the field.
    pub mapping: BTreeMap<String, String>,
    /// The permissions that the caller had when submitting. The import can't grant others, and none that the caller has lost since.
    pub permissions: Vec<String>,
}

impl ImportUsers {
    /// The arguments for an import that `caller` submits.
    pub fn asked(import: &UserImport, caller: &Caller) -> Self {
        let UserImport { kind, mapping, requesters, .. } = import;
        Self { kind: *kind, mapping: mapping.clone(), permissions: requesters.catalogue.held_by(caller) }
    }
}

pub(crate) fn kind(read_models: ReadModels, importers: Option<Importers>) -> Kind {
    let kind = Kind::new(IMPORT_USERS, move |work| import(read_models.clone(), importers.clone(), work));
    import_jobs::described(kind, IMPORT)
}

async fn import(read_models: ReadModels, importers: Option<Importers>, work: Work) -> Result<Value, Fault> {
    let Some(Importers { executor, requesters }) = importers else {
        return Err(Fault::failed("not_run_here", "this process does not write users"));
    };
    let ImportUsers { kind, mapping, permissions } = work.arguments()?;
    let caller = requesters.catalogue.holder(work.tenant(), work.actor(), &permissions);
    let import = UserImport { kind, mapping, age: Some(import_jobs::age(&work).await?), requesters };
    import_jobs::run(&executor, &read_models, &work, caller, &import).await
}
