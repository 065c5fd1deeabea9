//! A tenant's base currency, and the exchange rates into and out of it by the day from which they are valid.

mod exchange;
mod rates;
mod reducer;

pub(crate) use exchange::percentage;
pub use exchange::{Exchange, Rate};
use folding::projection;
pub use rates::exchange;

projection! {
    /// Projects currencies.
    pub struct CurrencyRates = "currencies" @ 1, tables ["base_currency", "exchange_rate"], events "crm.currencies." by reducer::apply
}
