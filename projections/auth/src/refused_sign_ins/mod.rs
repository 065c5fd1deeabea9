//! Who tried to sign in and was refused, why, and from where.

mod list;
mod reducer;
mod row;

pub use list::{count, of_user};
pub use row::RefusedSignInRow;

use futures::future::BoxFuture;

use crate::places::{ERASED, forget};

/// Projects refused attempts to sign in.
pub struct RefusedSignIns;

impl projector::Projection for RefusedSignIns {
    fn name(&self) -> &'static str {
        "refused_sign_ins"
    }

    fn version(&self) -> u32 {
        1
    }

    fn ddl(&self) -> &'static str {
        include_str!("tables.sql")
    }

    fn tables(&self) -> &'static [&'static str] {
        &["refused_sign_in"]
    }

    fn wants(&self, event_type: &str) -> bool {
        event_type.starts_with("auth.sign_in.") || event_type == ERASED
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
        Box::pin(async move { forget("refused_sign_in", &[event], tables).await })
    }
}
