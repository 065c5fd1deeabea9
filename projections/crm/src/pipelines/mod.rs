//! Pipelines and their stages, now and as of any day.

mod list;
mod reducer;
mod row;

use folding::projection;
pub(crate) use list::versions;
pub use list::{as_of, find, list};
pub use row::{PipelineRow, StageView};

projection! {
    /// Projects pipelines.
    pub struct Pipelines = "pipelines" @ 1, tables ["pipeline_history"], events "crm.pipeline." by reducer::apply,
    counts "pipeline_id" in ["pipeline_history"]
}
