//! Currencies: a tenant's base currency and the dated rates into it. One aggregate a tenant; its id is the tenant's.

use chrono::NaiveDate;
use kernel::Currency;

kernel::events! {
    /// What can happen to a tenant's currencies.
    pub enum CurrenciesEvent of "crm.currencies" {
        /// Sums are shown in this currency. Until then: EUR.
        BaseCurrencyChosen = "crm.currencies.base_chosen" @ 1 { pub base: Currency },
        /// From this day on, one unit of `from` is worth `rate_nanos` billionths of a unit of `to`.
        ExchangeRateSet = "crm.currencies.rate_set" @ 1 {
            pub from: Currency,
            pub to: Currency,
            pub day: NaiveDate,
            /// At least 1.
            pub rate_nanos: i64,
        },
    }
}
