//! The exchange rates of a day.

use chrono::NaiveDate;
use kernel::{Currency, TenantId};
use sqlx::PgConnection;

use super::exchange::{Exchange, Rate};
use folding::as_of::AsOf;
use folding::named::Named;

const BASE: &str = "
    SELECT base FROM base_currency
    WHERE tenant_id = $1
      AND ($2::timestamptz IS NULL OR valid_from <= $2) AND ($3::timestamptz IS NULL OR known_from <= $3)
    ORDER BY version DESC LIMIT 1";

/// Rates may be set for future days, so the current day matters. It comes from the clock of Postgres, which is precise enough for days.
const RATES: &str = "
    SELECT DISTINCT ON (from_currency, to_currency) from_currency, to_currency, day, rate_nanos
    FROM exchange_rate
    WHERE tenant_id = $1 AND (from_currency = $4 OR to_currency = $4)
      AND day <= (coalesce($2::timestamptz, now()) AT TIME ZONE 'UTC')::date AND ($3::timestamptz IS NULL OR known_from <= $3)
    ORDER BY from_currency, to_currency, day DESC, version DESC";

type RateOfDay = (Named<Currency>, Named<Currency>, NaiveDate, i64);

/// The tenant's base currency and the rates that were valid as of a moment. The base currency is EUR until the tenant chooses one.
pub async fn exchange(tables: &mut PgConnection, tenant: TenantId, as_of: AsOf) -> Result<Exchange, sqlx::Error> {
    let base = sqlx::query_scalar(BASE)
        .bind(tenant.uuid())
        .bind(as_of.at)
        .bind(as_of.known)
        .fetch_optional(&mut *tables)
        .await?
        .map_or(Currency::EUR, |Named(base)| base);
    let rates: Vec<RateOfDay> = sqlx::query_as(RATES)
        .bind(tenant.uuid())
        .bind(as_of.at)
        .bind(as_of.known)
        .bind(Named(base))
        .fetch_all(tables)
        .await?;
    Ok(Exchange::new(base, rates.into_iter().map(|(from, to, day, nanos)| (from.0, to.0, Rate { day, nanos }))))
}
