//! Pipelines and their stages, today and as of any day.

mod query;
mod reducer;
mod row;

use futures::future::BoxFuture;
use kernel::RecordedEvent;
use projector::{ApplyError, Projection};
use sqlx::PgConnection;

pub(crate) use query::versions;
pub use query::{as_of, find, list};
pub use row::{PipelineRow, StageView};

/// Projects pipelines.
pub struct Pipelines;

impl Projection for Pipelines {
    fn name(&self) -> &'static str {
        "pipelines"
    }

    fn version(&self) -> u32 {
        1
    }

    fn ddl(&self) -> &'static str {
        include_str!("tables.sql")
    }

    fn tables(&self) -> &'static [&'static str] {
        &["pipeline_history"]
    }

    fn wants(&self, event_type: &str) -> bool {
        event_type.starts_with("crm.pipeline.")
    }

    fn apply<'a>(
        &'a self,
        events: &'a [&'a RecordedEvent],
        tables: &'a mut PgConnection,
    ) -> BoxFuture<'a, Result<(), ApplyError>> {
        Box::pin(reducer::apply(events, tables))
    }
}
