//! A tenant's base currency and the dated rates into and out of it.

mod exchange;
mod query;
mod reducer;

pub(crate) use exchange::percentage;
pub use exchange::{Exchange, Rate};
use folding::projection;
pub use query::exchange;

projection! {
    /// Projects currencies.
    pub struct CurrencyRates = "currencies" @ 1, tables ["base_currency", "exchange_rate"], events "crm.currencies." by reducer::apply
}
