//! Stages in use: what is in a stage keeps it from being removed, and nothing gets into one that is closed.
//!
//! A pipeline and the opportunities in it are aggregates of their own, so two writers can each be right about what they saw
//! and wrong together. The two claims here meet in the append, which is one after another: whoever comes second sees the
//! first's claim.

use crm_aggregates::{OpportunityId, Pipeline, PipelineError, PipelineId, StageId};
use executor::{ClaimKind, Work};
use kernel::Refusal;

use crate::references::unknown;

/// An opportunity is or was in the stage. Never released: histories name the stage for ever.
pub(crate) static USE: ClaimKind = ClaimKind {
    name: "crm.stage.use",
    code: "stage_in_use",
    detail: "an opportunity is or was in this stage, so it can't be removed; retire it instead",
};

/// The stage is retired or removed. Never released.
pub(crate) static CLOSED: ClaimKind = ClaimKind {
    name: "crm.stage.closed",
    code: "stage_closed",
    detail: "the stage was retired or removed just now; read the pipeline again and choose another stage",
};

/// Puts an opportunity into a stage of a pipeline (none: its first active one), and says which it is. `at`: JSON pointer to
/// the object that names pipeline and stage.
pub(crate) async fn enter(
    work: &mut Work<'_>,
    at: &str,
    pipeline: PipelineId,
    stage: Option<StageId>,
    opportunity: OpportunityId,
) -> Result<StageId, Refusal> {
    let Some(found) = work.find::<Pipeline>(pipeline).await? else {
        return Err(unknown(&format!("{at}/pipeline"), "not_found", format!("there is no pipeline {pipeline}")));
    };
    let stage = found.admit(stage).map_err(|error| match error {
        PipelineError::StageUnknown { .. } => unknown(&format!("{at}/stage"), "stage_not_found", error.to_string()),
        error => error.into(),
    })?;
    work.mark(&USE, &stage.to_string(), opportunity);
    work.absent(&CLOSED, &stage.to_string(), opportunity);
    Ok(stage)
}

/// Lets nothing into a stage any more.
pub(crate) fn close(work: &mut Work<'_>, stage: StageId, pipeline: PipelineId) {
    work.mark(&CLOSED, &stage.to_string(), pipeline);
}

/// Requires that no opportunity ever was in a stage.
pub(crate) fn unused(work: &mut Work<'_>, stage: StageId, pipeline: PipelineId) {
    work.absent(&USE, &stage.to_string(), pipeline);
}
