//! The tenant's setup: pipelines, base currency and exchange rates.

use chrono::{Duration, NaiveDate};

use super::calendar::{Calendar, DAYS};
use super::dice::Dice;

/// A pipeline: its name, its stages with their probabilities in per cent.
#[derive(Clone, Copy, Debug)]
pub struct Pipeline {
    pub name: &'static str,
    pub stages: &'static [(&'static str, u8)],
}

/// The pipelines: new business and renewals.
pub const PIPELINES: [Pipeline; 2] = [
    Pipeline {
        name: "New business",
        stages: &[("Qualification", 10), ("Needs analysis", 25), ("Proposal", 50), ("Negotiation", 75), ("Commit", 90)],
    },
    Pipeline { name: "Renewals", stages: &[("Renewal due", 60), ("Offer sent", 75), ("Confirmed", 95)] },
];

/// The currency of totals.
pub const BASE_CURRENCY: &str = "EUR";

/// The exchange rate of a currency to the base currency, valid from a day on.
#[derive(Clone, Debug)]
pub struct Rate {
    pub from: &'static str,
    pub day: NaiveDate,
    /// Billionths of the base currency for one unit of `from`.
    pub nanos: i64,
}

/// The rates on the first day, in billionths of the base currency.
const FIRST_RATES: [(&str, i64); 5] =
    [("USD", 921_000_000), ("GBP", 1_168_000_000), ("CHF", 1_043_000_000), ("SEK", 88_400_000), ("PLN", 232_500_000)];

/// A new rate every 13 weeks; it differs from the previous one by at most 3 %.
pub fn rates(calendar: &Calendar, seed: u64) -> Vec<Rate> {
    let mut dice = Dice::new(seed, "rates");
    let mut rates = Vec::new();
    for (from, first) in FIRST_RATES {
        let mut nanos = first;
        for week in (0..DAYS / 7).step_by(13) {
            rates.push(Rate { from, day: calendar.first_day() + Duration::weeks(week), nanos });
            nanos += nanos / 1000 * dice.between(-30, 30);
        }
    }
    rates
}
