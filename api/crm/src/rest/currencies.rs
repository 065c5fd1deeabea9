//! A tenant's currencies: the base currency and the dated rates into it.

use chrono::NaiveDate;
use crm_commands::{ChooseBaseCurrency, SetExchangeRate};
use face::{Command, Runtime};
use poem_openapi::OpenApi;
use schemars::JsonSchema;
use serde::Deserialize;

use super::Tag;
use super::form;
use face::operation::{Done, change};

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
    /// ISO 4217 code, such as EUR.
    #[schemars(with = "form::CurrencyCode")]
    base: String,
}

/// An exchange rate.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"from": "USD", "to": "EUR", "day": "2026-01-01", "rate_nanos": 920000000}))]
struct NewRate {
    /// ISO 4217 code.
    #[schemars(with = "form::CurrencyCode")]
    from: String,
    /// ISO 4217 code.
    #[schemars(with = "form::CurrencyCode")]
    to: String,
    /// From which day on.
    #[serde(deserialize_with = "kernel::deserialize_day")]
    day: NaiveDate,
    /// Billionths of a unit of `to` for one unit of `from`; at least 1.
    #[schemars(with = "form::Nanos")]
    rate_nanos: i64,
}

#[OpenApi(tag = "Tag::Currencies")]
impl CurrencySettings {
    /// Choose the currency in which sums are shown
    ///
    /// What is in other currencies is converted by the rates that are set. Needs the permission `crm:currency:write`.
    #[oai(path = "/v1/crm/currencies/set-base", method = "post", operation_id = "setBaseCurrency")]
    async fn set_base(&self, command: Command<NewBase>) -> Done {
        let tenant = command.request.caller.tenant().uuid();
        change(&self.runtime, &command.request, tenant, ChooseBaseCurrency { base: command.body.base }).await
    }

    /// Set what a currency is worth in another from a day on
    ///
    /// In billionths. Sums of that day and later use it, until another rate begins. Needs the permission `crm:currency:write`.
    #[oai(path = "/v1/crm/currencies/set-rate", method = "post", operation_id = "setExchangeRate")]
    async fn set_rate(&self, command: Command<NewRate>) -> Done {
        let tenant = command.request.caller.tenant().uuid();
        let NewRate { from, to, day, rate_nanos } = command.body;
        change(&self.runtime, &command.request, tenant, SetExchangeRate { from, to, day, rate_nanos }).await
    }
}
