//! Applies currency events: each event becomes one row.

use chrono::{DateTime, NaiveDate, Utc};
use crm_aggregates::CurrenciesEvent;
use kernel::{Currency, RecordedEvent};
use projector::ApplyError;
use sqlx::PgConnection;
use uuid::Uuid;

use folding::change::decode;
use folding::named::Named;
use folding::table;
use folding::table::insert;

table! {
    /// A choice of the base currency.
    pub struct BaseRow in "base_currency" key ("tenant_id", "version") {
        pub tenant_id: Uuid = "uuid",
        pub version: i64 = "bigint",
        pub base: Named<Currency> = "text",
        pub valid_from: DateTime<Utc> = "timestamptz",
        pub known_from: DateTime<Utc> = "timestamptz",
    }
}

table! {
    /// An exchange rate: from `day` on, one unit of `from_currency` is worth `rate_nanos` billionths of a unit of `to_currency`.
    pub struct RateRow in "exchange_rate" key ("tenant_id", "from_currency", "to_currency", "day", "version") {
        pub tenant_id: Uuid = "uuid",
        pub from_currency: Named<Currency> = "text",
        pub to_currency: Named<Currency> = "text",
        pub day: NaiveDate = "date",
        pub version: i64 = "bigint",
        pub rate_nanos: i64 = "bigint",
        pub known_from: DateTime<Utc> = "timestamptz",
    }
}

/// Applies a batch of currency events.
pub(super) async fn apply(events: &[&RecordedEvent], tables: &mut PgConnection) -> Result<(), ApplyError> {
    let (mut bases, mut rates) = (Vec::new(), Vec::new());
    for change in decode::<CurrenciesEvent>(events)? {
        let (tenant_id, _) = change.key;
        match &change.event {
            CurrenciesEvent::BaseCurrencyChosen(e) => bases.push(BaseRow {
                tenant_id,
                version: change.version,
                base: Named(e.base),
                valid_from: change.occurred_at,
                known_from: change.recorded_at,
            }),
            CurrenciesEvent::ExchangeRateSet(e) if e.rate_nanos < 1 => {
                return Err(change.poison(format!("a rate of {} billionths; at least 1 is needed", e.rate_nanos)));
            }
            CurrenciesEvent::ExchangeRateSet(e) => rates.push(RateRow {
                tenant_id,
                from_currency: Named(e.from),
                to_currency: Named(e.to),
                day: e.day,
                version: change.version,
                rate_nanos: e.rate_nanos,
                known_from: change.recorded_at,
            }),
        }
    }
    insert(&bases, tables).await?;
    Ok(insert(&rates, tables).await?)
}
