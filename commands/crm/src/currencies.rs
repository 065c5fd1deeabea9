//! What can be asked of a tenant's currencies.

use chrono::NaiveDate;

/// Shows sums in this currency from now on.
#[derive(Clone, Debug)]
pub struct ChooseBaseCurrency {
    /// ISO 4217 code.
    pub base: String,
}

/// Sets what one unit of a currency is worth in another from a day on.
#[derive(Clone, Debug)]
pub struct SetExchangeRate {
    /// ISO 4217 code.
    pub from: String,
    /// ISO 4217 code.
    pub to: String,
    pub day: NaiveDate,
    /// Billionths of a unit of `to` for one unit of `from`; at least 1.
    pub rate_nanos: i64,
}
crate::pending! {
    ChooseBaseCurrency: (), "crm:currency:write";
    SetExchangeRate: (), "crm:currency:write";
}
