//! The directory of contacts.

mod list;
mod reducer;
mod row;

use futures::future::BoxFuture;
use kernel::RecordedEvent;
use projector::{ApplyError, Projection};
use sqlx::PgConnection;

pub use list::{ContactFilter, ContactOrder, count, find, list, of_accounts};
pub use row::ContactRow;

/// Projects contacts.
pub struct Contacts;

impl Projection for Contacts {
    fn name(&self) -> &'static str {
        "contacts"
    }

    fn version(&self) -> u32 {
        1
    }

    fn ddl(&self) -> &'static str {
        include_str!("tables.sql")
    }

    fn tables(&self) -> &'static [&'static str] {
        &["contact", "contact_word"]
    }

    fn wants(&self, event_type: &str) -> bool {
        event_type.starts_with("crm.contact.")
    }

    fn apply<'a>(
        &'a self,
        events: &'a [&'a RecordedEvent],
        tables: &'a mut PgConnection,
    ) -> BoxFuture<'a, Result<(), ApplyError>> {
        Box::pin(reducer::apply(events, tables))
    }
}
