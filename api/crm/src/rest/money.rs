//! Money, as sent and shown.

use crm_commands::MoneyFields;
use schemars::JsonSchema;
use serde::Deserialize;

use super::form;

/// An amount in one currency.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NewMoney")]
pub struct MoneyBody {
    /// Minor units (cents of a euro, whole yen), at least 0.
    #[schemars(with = "form::Minor")]
    minor: i64,
    /// ISO 4217 currency code, such as EUR.
    #[schemars(with = "form::CurrencyCode")]
    currency: String,
}

impl From<MoneyBody> for MoneyFields {
    fn from(body: MoneyBody) -> Self {
        Self { minor: body.minor, currency: body.currency }
    }
}
