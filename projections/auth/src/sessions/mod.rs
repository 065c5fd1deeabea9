//! Where people are and were signed in.

mod list;
mod reducer;
mod row;

pub use list::{count, of_user, open_of};
pub use row::{SessionRow, SessionsEndedRow};

use futures::future::BoxFuture;

use crate::places::{ERASED, forget};

/// Projects sessions, and what ended all of a person's sessions at once.
pub struct Sessions;

/// What ended all of a person's sessions at once.
const ENDED: [&str; 3] = ["auth.account.sessions_ended", "auth.account.closed", ERASED];

impl projector::Projection for Sessions {
    fn name(&self) -> &'static str {
        "sessions"
    }

    fn version(&self) -> u32 {
        2
    }

    fn ddl(&self) -> &'static str {
        include_str!("tables.sql")
    }

    fn tables(&self) -> &'static [&'static str] {
        &["session", "sessions_ended"]
    }

    fn wants(&self, event_type: &str) -> bool {
        event_type.starts_with("auth.session.") || ENDED.contains(&event_type)
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
        Box::pin(async move { forget("session", &[event], tables).await })
    }
}
