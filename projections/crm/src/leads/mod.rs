//! The lead list, the history of each lead, and the funnel.

mod funnel;
mod history;
mod list;
mod reducer;
mod row;

use futures::future::BoxFuture;
use kernel::RecordedEvent;
use projector::{ApplyError, Projection};
use sqlx::PgConnection;

pub use funnel::{FunnelOfSource, funnel};
pub use history::{history, standing};
pub use list::{LeadFilter, LeadOrder, count, find, list};
pub use row::{LeadHistoryRow, LeadRow};

/// Projects leads.
pub struct Leads;

impl Projection for Leads {
    fn name(&self) -> &'static str {
        "leads"
    }

    fn version(&self) -> u32 {
        1
    }

    fn ddl(&self) -> &'static str {
        include_str!("tables.sql")
    }

    fn tables(&self) -> &'static [&'static str] {
        &["lead", "lead_history"]
    }

    fn wants(&self, event_type: &str) -> bool {
        event_type.starts_with("crm.lead.")
    }

    fn apply<'a>(
        &'a self,
        events: &'a [&'a RecordedEvent],
        tables: &'a mut PgConnection,
    ) -> BoxFuture<'a, Result<(), ApplyError>> {
        Box::pin(reducer::apply(events, tables))
    }
}
