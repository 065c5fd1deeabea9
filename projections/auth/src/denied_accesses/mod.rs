//! What callers who are known were denied: who asked for what, what they do not have, how often, and from where.

mod list;
mod reducer;
mod row;

pub use list::{count, of_subject, of_user};
pub use row::DeniedAccessRow;

use futures::future::BoxFuture;

use crate::places::{ERASED, forget};

/// Projects denials.
pub struct DeniedAccesses;

impl projector::Projection for DeniedAccesses {
    fn name(&self) -> &'static str {
        "denied_accesses"
    }

    fn version(&self) -> u32 {
        1
    }

    fn ddl(&self) -> &'static str {
        include_str!("tables.sql")
    }

    fn tables(&self) -> &'static [&'static str] {
        &["denied_access"]
    }

    fn wants(&self, event_type: &str) -> bool {
        event_type.starts_with("auth.access.") || event_type == ERASED
    }

    fn apply<'a>(
        &'a self,
        events: &'a [&'a kernel::RecordedEvent],
        tables: &'a mut sqlx::PgConnection,
    ) -> BoxFuture<'a, Result<(), projector::ApplyError>> {
        Box::pin(reducer::apply(events, tables))
    }

    fn forget<'a>(
        &'a self,
        event: &'a kernel::RecordedEvent,
        tables: &'a mut sqlx::PgConnection,
    ) -> BoxFuture<'a, Result<(), projector::ApplyError>> {
        Box::pin(async move { forget("denied_access", &[event], tables).await })
    }
}
