//! What a tenant sets up once: its pipelines, its base currency, the rates of each quarter.

use chrono::{Duration, NaiveDate};

use super::calendar::{Calendar, DAYS};
use super::dice::Dice;

/// A pipeline: its name, its stages with their probabilities in per cent.
#[derive(Clone, Copy, Debug)]
pub struct Pipeline {
    pub name: &'static str,
    pub stages: &'static [(&'static str, u8)],
}

/// The pipelines: new customers, and those who buy again.
pub const PIPELINES: [Pipeline; 2] = [
    Pipeline {
        name: "New business",
        stages: &[("Qualification", 10), ("Needs analysis", 25), ("Proposal", 50), ("Negotiation", 75), ("Commit", 90)],
    },
    Pipeline { name: "Renewals", stages: &[("Renewal due", 60), ("Offer sent", 75), ("Confirmed", 95)] },
];

/// The currency in which sums are shown.
pub const BASE_CURRENCY: &str = "EUR";

/// What one unit of a currency is worth in the base currency from a day on.
#[derive(Clone, Debug)]
pub struct Rate {
    pub from: &'static str,
    pub day: NaiveDate,
    /// Billionths.
    pub nanos: i64,
}

/// Rates at the beginning, in billionths of the base currency.
const FIRST_RATES: [(&str, i64); 5] =
    [("USD", 921_000_000), ("GBP", 1_168_000_000), ("CHF", 1_043_000_000), ("SEK", 88_400_000), ("PLN", 232_500_000)];

/// Rates of every thirteenth week; each differs from the last by at most 3 per cent.
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
