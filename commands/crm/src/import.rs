//! Imports leads from a CSV file: the columns and rows are in `row`, the commands in `chunk`. The crate `importing` reads the file and runs
//! the import.

mod chunk;
mod row;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use crm_aggregates::LeadSource;
use executor::{Command, Done, Executor, Request};
use importing::{Import, ImportReport, RequestAge, Sheet, Unpaced};
use kernel::{Caller, Checks, Refusal, Role, TenantId};
use uuid::Uuid;

use crate::OwnerLookups;
pub use chunk::{CaptureRows, CompleteImport};
pub use row::{LeadField, LeadRow};

/// The permission to import.
pub const IMPORT: &str = CompleteImport::PERMISSION;
/// The permission for the column `occurred_at` (`captured_at` in an export).
pub const BACKDATE: &str = "crm:history:backdate";

/// An import of leads.
#[derive(Clone, Debug, Default)]
pub struct LeadImport {
    /// Maps headers in the file to fields of the lead (or `ignore`), for headers that differ from the name of the field.
    pub mapping: BTreeMap<String, String>,
    /// The source of leads whose row has none.
    pub source: LeadSource,
    /// The owners that its rows name, as far as they were looked up.
    pub owners: OwnerLookups,
    /// How long ago the import was requested, if a background job runs it: it goes on only while the requester may import.
    pub age: Option<RequestAge>,
}

impl Import for LeadImport {
    type Field = LeadField;
    type Row = LeadRow;
    type Seen = ();
    type Chunk = CaptureRows;
    type Complete = CompleteImport;

    fn mapping(&self) -> &BTreeMap<String, String> {
        &self.mapping
    }

    fn allow(&self, caller: &Caller, sheet: &Sheet<'_, LeadField>) -> Result<(), Refusal> {
        if sheet.has(LeadField::OccurredAt) { caller.require(BACKDATE) } else { Ok(()) }
    }

    fn row(&self, line: u64, cells: Vec<(LeadField, String)>, checks: &mut Checks, now: DateTime<Utc>) -> LeadRow {
        row::read(line, cells, self.source, checks, now)
    }

    fn chunk(&self, import: Option<Uuid>, rows: Vec<LeadRow>) -> CaptureRows {
        CaptureRows { import, rows, owners: self.owners.clone(), age: self.age }
    }

    fn complete(&self, report: ImportReport) -> CompleteImport {
        CompleteImport { report }
    }
}

/// Imports leads at full speed, without waiting for read models.
///
/// # Errors
/// As for [`importing::import`].
pub async fn import_leads(
    executor: &Executor,
    request: &Request,
    csv: &[u8],
    import: &LeadImport,
) -> Result<Done<ImportReport>, Refusal> {
    importing::import(executor, request, csv, import, &Unpaced).await
}

/// The caller of an import that a background job runs: the requester with the permissions that the import needs. `backdate`: whether they
/// had that permission when they requested it. Whether they still have them is looked up before each chunk ([`LeadImport::age`]).
pub fn importer(tenant: TenantId, subject: &str, backdate: bool) -> Caller {
    let needed = |permission: &str| permission == IMPORT || (backdate && permission == BACKDATE);
    let grants = crate::GRANTS.iter().filter(|grant| needed(grant.permission));
    Caller::new(tenant, subject, &[Role::Admin], grants)
}
