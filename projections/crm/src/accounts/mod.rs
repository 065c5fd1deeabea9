//! The directory of accounts.

mod list;
mod reducer;
mod row;

use futures::future::BoxFuture;
use kernel::RecordedEvent;
use projector::{ApplyError, Projection};
use sqlx::PgConnection;

pub use list::{AccountFilter, AccountOrder, count, find, list};
pub use row::AccountRow;

/// Projects accounts.
pub struct Accounts;

impl Projection for Accounts {
    fn name(&self) -> &'static str {
        "accounts"
    }

    fn version(&self) -> u32 {
        1
    }

    fn ddl(&self) -> &'static str {
        include_str!("tables.sql")
    }

    fn tables(&self) -> &'static [&'static str] {
        &["account", "account_word"]
    }

    fn wants(&self, event_type: &str) -> bool {
        event_type.starts_with("crm.account.")
    }

    fn apply<'a>(
        &'a self,
        events: &'a [&'a RecordedEvent],
        tables: &'a mut PgConnection,
    ) -> BoxFuture<'a, Result<(), ApplyError>> {
        Box::pin(reducer::apply(events, tables))
    }
}
