//! A tenant's base currency and the dated rates into and out of it.

mod exchange;
mod query;
mod reducer;

use futures::future::BoxFuture;
use kernel::RecordedEvent;
use projector::{ApplyError, Projection};
use sqlx::PgConnection;

pub use exchange::Exchange;
pub(crate) use exchange::percentage;
pub use query::exchange;

/// Projects currencies.
pub struct CurrencyRates;

impl Projection for CurrencyRates {
    fn name(&self) -> &'static str {
        "currencies"
    }

    fn version(&self) -> u32 {
        1
    }

    fn ddl(&self) -> &'static str {
        include_str!("tables.sql")
    }

    fn tables(&self) -> &'static [&'static str] {
        &["base_currency", "exchange_rate"]
    }

    fn wants(&self, event_type: &str) -> bool {
        event_type.starts_with("crm.currencies.")
    }

    fn apply<'a>(
        &'a self,
        events: &'a [&'a RecordedEvent],
        tables: &'a mut PgConnection,
    ) -> BoxFuture<'a, Result<(), ApplyError>> {
        Box::pin(reducer::apply(events, tables))
    }
}
