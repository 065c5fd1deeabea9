//! Keeps pipelines and opportunities consistent: a stage that was ever used can't be removed, and no opportunity gets into a closed one.
//!
//! A pipeline and its opportunities are separate aggregates, so two concurrent commands could each be valid for the state that they read
//! and contradict each other. Each takes one of the two claims here and requires the absence of the other. Appends are serialized, so the
//! second one sees the first one's claim and is refused.

use crm_aggregates::{OpportunityId, Pipeline, PipelineError, PipelineId, StageId};
use executor::{ClaimKind, Work};
use kernel::Refusal;

use crate::references::existing;

/// An opportunity is or was in the stage. Never released, because histories refer to the stage for ever.
pub(crate) static USE: ClaimKind = ClaimKind {
    name: "crm.stage.use",
    code: "stage_in_use",
    detail: "an opportunity is or was in this stage, so it can't be removed; retire it instead",
};

/// The stage is retired or removed. Released when it is reactivated.
pub(crate) static CLOSED: ClaimKind = ClaimKind {
    name: "crm.stage.closed",
    code: "stage_closed",
    detail: "the stage was retired or removed just now; read the pipeline again and choose another stage",
};

/// Puts an opportunity into a stage of a pipeline and returns the stage. `stage`: `None` means the first active one. `at`: JSON pointer to
/// the object that names pipeline and stage.
pub(crate) async fn enter(
    work: &mut Work<'_>,
    at: &str,
    pipeline: PipelineId,
    stage: Option<StageId>,
    opportunity: OpportunityId,
) -> Result<StageId, Refusal> {
    let found = existing::<Pipeline>(work, pipeline, &format!("{at}/pipeline")).await?;
    let stage = found.admit(stage).map_err(|error| match error {
        PipelineError::StageUnknown { .. } => {
            Refusal::reference(format!("{at}/stage"), "stage_not_found", error.to_string())
        }
        error => error.into(),
    })?;
    work.mark(&USE, &stage.to_string(), opportunity);
    work.absent(&CLOSED, &stage.to_string(), opportunity);
    Ok(stage)
}

/// Closes a stage: no opportunity can enter it any more.
pub(crate) fn close(work: &mut Work<'_>, stage: StageId, pipeline: PipelineId) {
    work.mark(&CLOSED, &stage.to_string(), pipeline);
}

/// Opens a retired stage: opportunities can enter it again.
pub(crate) fn reopen(work: &mut Work<'_>, stage: StageId, pipeline: PipelineId) {
    work.release(&CLOSED, &stage.to_string(), pipeline);
}

/// Makes the append require that no opportunity was ever in a stage.
pub(crate) fn require_unused(work: &mut Work<'_>, stage: StageId, pipeline: PipelineId) {
    work.absent(&USE, &stage.to_string(), pipeline);
}
