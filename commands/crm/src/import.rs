//! Import of leads from a CSV file: what its columns are (`row`), and the commands that it is made of (`chunk`). How files are read
//! and taken is the crate `importing`'s.

mod chunk;
mod row;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use crm_aggregates::LeadSource;
use executor::{Command, Done, Executor, Request};
use importing::{Import, ImportReport, Sheet, Unpaced};
use kernel::{Caller, Checks, Refusal, Role, TenantId};
use uuid::Uuid;

pub use chunk::{CaptureRows, CompleteImport};
pub use row::{LeadField, LeadRow};

/// The permission for importing at all.
pub const IMPORT: &str = CompleteImport::PERMISSION;
/// The permission for the column `occurred_at`.
pub const BACKDATE: &str = "crm:history:backdate";

/// How a file of leads is to be read.
#[derive(Clone, Debug, Default)]
pub struct LeadImport {
    /// Header in the file → field of the lead (or `ignore`), for headers that are not named like the field.
    pub mapping: BTreeMap<String, String>,
    /// Where rows without a source came from.
    pub source: LeadSource,
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

    fn row(&self, _: u64, cells: Vec<(LeadField, String)>, checks: &mut Checks, now: DateTime<Utc>) -> LeadRow {
        row::read(cells, self.source, checks, now)
    }

    fn chunk(&self, import: Option<Uuid>, rows: Vec<LeadRow>) -> CaptureRows {
        CaptureRows { import, rows }
    }

    fn complete(&self, report: ImportReport) -> CompleteImport {
        CompleteImport { report }
    }
}

/// Imports leads where nobody has to keep up.
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

/// Whoever asked for an import that is done later, as far as importing needs them: `backdate` if they had the permission for that when
/// they asked.
pub fn importer(tenant: TenantId, subject: &str, backdate: bool) -> Caller {
    let needed = |permission: &str| permission == IMPORT || (backdate && permission == BACKDATE);
    let grants = crate::GRANTS.iter().filter(|grant| needed(grant.permission));
    Caller::new(tenant, subject, &[Role::Admin], grants)
}
