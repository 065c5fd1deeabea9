//! Deals: the list, their history on both time axes, the board as of any day, and the movements between two days.

mod board;
mod list;
mod movement;
mod reducer;
mod row;

pub use board::{Board, BoardStage, StageSum, assemble, board};
pub use folding::list::{count, find, list};
use folding::{history, projection};
pub use list::{OpportunityFilter, OpportunityOrder, histories, of_accounts};
pub use movement::{Deal, DealMovement, Movement, MovementSum, Span, count_moved, moved, movement_sums};
pub use row::{OpportunityHistoryRow, OpportunityRow};

projection! {
    /// Projects opportunities.
    pub struct Opportunities = "opportunities" @ 3, tables ["opportunity", "opportunity_history"], events "crm.opportunity." by history::apply::<OpportunityRow>,
    counts "opportunity_id" in ["opportunity", "opportunity_history"]
}
