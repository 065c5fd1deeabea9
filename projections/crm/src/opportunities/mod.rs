//! Deals: the list, their history on both axes of time, the board as of any day, and what moved between two days.

mod board;
mod list;
mod movement;
mod reducer;
mod row;

use futures::future::BoxFuture;
use kernel::RecordedEvent;
use projector::{ApplyError, Projection};
use sqlx::PgConnection;

pub use board::{Board, BoardStage, StageSum, assemble, board};
pub use list::{OpportunityFilter, OpportunityOrder, count, find, history, list, of_accounts};
pub use movement::{Deal, DealMovement, Movement, MovementSum, Span, count_moved, moved, movement_sums};
pub use row::{OpportunityHistoryRow, OpportunityRow};

/// Projects opportunities.
pub struct Opportunities;

impl Projection for Opportunities {
    fn name(&self) -> &'static str {
        "opportunities"
    }

    fn version(&self) -> u32 {
        1
    }

    fn ddl(&self) -> &'static str {
        include_str!("tables.sql")
    }

    fn tables(&self) -> &'static [&'static str] {
        &["opportunity", "opportunity_history"]
    }

    fn wants(&self, event_type: &str) -> bool {
        event_type.starts_with("crm.opportunity.")
    }

    fn apply<'a>(
        &'a self,
        events: &'a [&'a RecordedEvent],
        tables: &'a mut PgConnection,
    ) -> BoxFuture<'a, Result<(), ApplyError>> {
        Box::pin(reducer::apply(events, tables))
    }
}
