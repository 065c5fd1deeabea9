//! A tenant's currencies: the base currency and the dated rates into it.

use chrono::NaiveDate;
use crm_aggregates::{Currencies, ExchangeRateSet};
use crm_commands::{ChooseBaseCurrency, SetExchangeRate};
use face::{Authenticated, Command, Example, Resource, Runtime, Unstored, example};
use kernel::Currency;
use poem_openapi::OpenApi;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Tag;
use super::form;
use face::operation::{ChangeResult, UnstoredResult, change};

/// The operations on currencies.
pub struct CurrencySettings {
    runtime: Runtime,
}

impl CurrencySettings {
    pub fn new(runtime: Runtime) -> Self {
        Self { runtime }
    }
}

/// The base currency.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"base": "EUR"}))]
struct NewBase {
    /// ISO 4217 currency code, such as EUR.
    #[schemars(with = "form::CurrencyCode")]
    base: String,
}

/// An exchange rate.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"from": "USD", "to": "EUR", "day": "2026-01-01", "rate_nanos": 920_000_000}))]
struct NewRate {
    /// ISO 4217 currency code.
    #[schemars(with = "form::CurrencyCode")]
    from: String,
    /// ISO 4217 currency code.
    #[schemars(with = "form::CurrencyCode")]
    to: String,
    /// The first day on which the rate applies, from 1970-01-01 to 2199-12-31.
    #[serde(deserialize_with = "kernel::deserialize_day")]
    day: NaiveDate,
    /// The value of one unit of `from`, in billionths of a unit of `to`. At least 1.
    #[schemars(with = "form::Nanos")]
    rate_nanos: i64,
}

/// A tenant's currencies.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Currencies")]
struct Shown {
    /// The base currency, in which totals are shown: ISO 4217 currency code.
    base: Currency,
    /// The rates that apply today (UTC) and those that start later, ordered by currencies and day.
    rates: Vec<Quote>,
}

/// An exchange rate that applies from a day on.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ExchangeRate")]
struct Quote {
    /// ISO 4217 currency code.
    from: Currency,
    /// ISO 4217 currency code.
    to: Currency,
    /// The first day on which the rate applies.
    day: NaiveDate,
    /// The value of one unit of `from`, in billionths of a unit of `to`.
    rate_nanos: i64,
}

impl From<ExchangeRateSet> for Quote {
    fn from(ExchangeRateSet { from, to, day, rate_nanos }: ExchangeRateSet) -> Self {
        Self { from, to, day, rate_nanos }
    }
}

impl Example for Shown {
    fn example() -> Self {
        let dollars = Quote { from: Currency::USD, to: Currency::EUR, day: example::day(0), rate_nanos: 920_000_000 };
        Self { base: Currency::EUR, rates: vec![dollars] }
    }
}

#[OpenApi(tag = "Tag::Currencies")]
impl CurrencySettings {
    /// Get the base currency and the exchange rates
    ///
    /// Needs the permission `crm:currency:read`.
    #[oai(path = "/v1/crm/currencies", method = "get", operation_id = "getCurrencies")]
    async fn get(&self, Authenticated(caller): Authenticated) -> UnstoredResult<Shown> {
        caller.require("crm:currency:read")?;
        let found = self.runtime.executor.load::<Currencies>(&caller, &caller.tenant().to_string()).await?;
        let (state, version) = found.unwrap_or_default();
        let today = self.runtime.executor.now().date_naive();
        let body = Shown { base: state.base(), rates: state.rates_from(today).map(Quote::from).collect() };
        Ok(Unstored(Resource { body, version }))
    }

    /// Set the base currency
    ///
    /// Totals are shown in the base currency. Amounts in other currencies are converted with the exchange rates that are set.
    /// Needs the permission `crm:currency:write`.
    #[oai(path = "/v1/crm/currencies/set-base", method = "post", operation_id = "setBaseCurrency")]
    async fn set_base(&self, command: Command<NewBase>) -> ChangeResult {
        let tenant = command.request.caller.tenant().uuid();
        change(&self.runtime, &command.request, tenant, ChooseBaseCurrency { base: command.body.base }).await
    }

    /// Set an exchange rate from a day on
    ///
    /// The rate is given in billionths. It applies to that day and later, until another rate for the same two currencies begins, in
    /// either direction; of two that begin on the same day, the rate into the base currency is used. Needs the permission
    /// `crm:currency:write`.
    #[oai(path = "/v1/crm/currencies/set-rate", method = "post", operation_id = "setExchangeRate")]
    async fn set_rate(&self, command: Command<NewRate>) -> ChangeResult {
        let tenant = command.request.caller.tenant().uuid();
        let NewRate { from, to, day, rate_nanos } = command.body;
        change(&self.runtime, &command.request, tenant, SetExchangeRate { from, to, day, rate_nanos }).await
    }
}
