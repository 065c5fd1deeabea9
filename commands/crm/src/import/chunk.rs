//! The commands of an import of leads: one for a chunk of rows, and one that records that the import is complete.

use crm_aggregates::{
    ImportBatch, ImportBatchCommand, ImportBatchError, ImportCompleted, ImportId, Lead, LeadCaptured, LeadCommand,
    LeadId, Revert,
};
use executor::{Command, Work};
use importing::{Field, ImportReport, RequestAge, RowError, Taken, current_permissions, none_taken};
use kernel::{FieldError, Refusal};
use uuid::Uuid;

use super::BACKDATE;
use super::row::{LeadField, LeadRow};
use crate::OwnerLookups;
use crate::owner::cannot_sign_in;

/// Captures the leads of a chunk in one append. Rows whose owner can't sign in are reported and left out.
#[derive(Clone, Debug)]
pub struct CaptureRows {
    /// The import's id; `None` for its first chunk.
    pub(super) import: Option<Uuid>,
    pub(super) rows: Vec<LeadRow>,
    pub(super) owners: OwnerLookups,
    pub(super) age: Option<RequestAge>,
}

impl CaptureRows {
    /// Refuses the chunk if whoever requested the import may not import such rows any more.
    async fn require_requester(&self, work: &Work<'_>) -> Result<(), Refusal> {
        let Some(age) = self.age else { return Ok(()) };
        let needed = [Self::PERMISSION, BACKDATE];
        let backdated = self.rows.iter().any(|row| row.occurred_at.is_some());
        let needed = if backdated { &needed[..] } else { &needed[..1] };
        current_permissions(work.standing_of_caller().await?, needed, age).map(drop)
    }

    /// Refuses the chunk if its import is reverted. The append relies on that, so no lead is imported behind the search for those to
    /// withdraw.
    async fn require_unreverted(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let Some(import) = self.import else { return Ok(()) };
        match work.rely::<ImportBatch>(import).await? {
            Some(batch) if batch.revert != Revert::None => Err(ImportBatchError::AlreadyReverted.into()),
            _ => Ok(()),
        }
    }
}

impl Command for CaptureRows {
    const PERMISSION: &'static str = "crm:import:write";
    type Answer = Taken;

    async fn run(&self, work: &mut Work<'_>) -> Result<Taken, Refusal> {
        self.require_requester(work).await?;
        self.require_unreverted(work).await?;
        let import = self.import.unwrap_or_else(|| work.new_id());
        let (mut taken, mut errors) = (0, Vec::new());
        for row in &self.rows {
            if let Some(owner) = &row.owner
                && !self.owners.allow(work, owner).await?
            {
                errors.push(owner_error(row.line));
                continue;
            }
            let lead: LeadId = work.new_id();
            let captured = LeadCommand::Capture(LeadCaptured {
                details: row.details.clone(),
                source: row.source,
                owner: row.owner.clone(),
                import: Some(ImportId::new(import)),
            });
            match row.occurred_at {
                Some(occurred_at) => work.create_at::<Lead>(lead, occurred_at, captured)?,
                None => work.create::<Lead>(lead, captured)?,
            }
            taken += 1;
        }
        if taken == 0 { Err(none_taken(&errors)) } else { Ok(Taken { import, taken, errors }) }
    }
}

/// The error of a row whose owner can't sign in.
fn owner_error(line: u64) -> RowError {
    let column = LeadField::Owner.name();
    let FieldError { code, detail, .. } = cannot_sign_in(column);
    RowError { line, column: Some(column.to_owned()), code: code.to_owned(), detail }
}

/// Records that an import is complete, with its report as the answer to the request. Refused if the import is reverted.
#[derive(Clone, Debug)]
pub struct CompleteImport {
    pub(super) report: ImportReport,
}

impl Command for CompleteImport {
    const PERMISSION: &'static str = "crm:import:write";
    type Answer = ImportReport;

    async fn run(&self, work: &mut Work<'_>) -> Result<ImportReport, Refusal> {
        let ImportReport { rows, taken, refused, .. } = self.report;
        let import = self.report.import_id.unwrap_or_else(|| work.new_id());
        let completed = ImportCompleted { kind: "lead".to_owned(), rows, taken, refused };
        // It is there already if a revert was requested meanwhile, and withdrawn again.
        work.upsert::<ImportBatch>(import, ImportBatchCommand::Complete(completed)).await?;
        Ok(ImportReport { import_id: Some(import), ..self.report.clone() })
    }
}
