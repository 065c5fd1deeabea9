//! The commands of a tenant's currencies and exchange rates.

use chrono::NaiveDate;
use crm_aggregates::{Currencies, CurrenciesCommand, ExchangeRateSet};
use executor::{Command, Work};
use kernel::{Checks, Refusal};

use crate::money::currency;
use crate::values;

/// Sets the currency in which sums are shown.
#[derive(Clone, Debug)]
pub struct ChooseBaseCurrency {
    /// ISO 4217 code.
    pub base: String,
}

/// Sets an exchange rate between two currencies, valid from a day on.
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

impl Command for ChooseBaseCurrency {
    const PERMISSION: &'static str = "crm:currency:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let mut checks = Checks::default();
        let base = currency(&mut checks, "/base", &self.base);
        checks.finish()?;
        let tenant = work.caller().tenant();
        work.upsert::<Currencies>(tenant, CurrenciesCommand::ChooseBase { base }).await
    }
}

impl Command for SetExchangeRate {
    const PERMISSION: &'static str = "crm:currency:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let mut checks = Checks::default();
        let set = ExchangeRateSet {
            from: currency(&mut checks, "/from", &self.from),
            to: currency(&mut checks, "/to", &self.to),
            day: values::day(&mut checks, "/day", self.day),
            rate_nanos: self.rate_nanos,
        };
        checks.finish()?;
        let tenant = work.caller().tenant();
        work.upsert::<Currencies>(tenant, CurrenciesCommand::SetRate(set)).await
    }
}
