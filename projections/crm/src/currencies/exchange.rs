//! Conversion of amounts into the base currency, in integers only, rounded half away from zero.

use std::collections::HashMap;

use chrono::NaiveDate;
use kernel::Currency;

/// The base currency and the exchange rates of a day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    base: Currency,
    rates: HashMap<(Currency, Currency), Rate>,
}

/// An exchange rate: the value of one unit of a currency in another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// The day from which it is valid.
    pub day: NaiveDate,
    /// Billionths of the other currency, at least 1.
    pub nanos: i64,
}

/// The number of billionths in one.
const NANOS: i128 = 1_000_000_000;

impl Exchange {
    /// The `rates` are (from, to, value of one unit of `from` in `to`), for each pair the one that is valid.
    pub fn new(base: Currency, rates: impl IntoIterator<Item = (Currency, Currency, Rate)>) -> Self {
        Self { base, rates: rates.into_iter().map(|(from, to, rate)| ((from, to), rate)).collect() }
    }

    /// The base currency, into which amounts are converted.
    pub const fn base(&self) -> Currency {
        self.base
    }

    /// Converts minor units of a currency into minor units of the base currency. It uses the rate into the base currency, or the inverse of
    /// the rate out of it if that is the only one or is valid from a later day. `None` when there is no rate or the result overflows.
    pub fn to_base(&self, minor: i128, from: Currency) -> Option<i128> {
        if from == self.base {
            return Some(minor);
        }
        let (into, out) = (self.rates.get(&(from, self.base)), self.rates.get(&(self.base, from)));
        let (mut times, mut over) = match (into, out) {
            (Some(into), Some(out)) if into.day < out.day => (NANOS, i128::from(out.nanos)),
            (Some(into), _) => (i128::from(into.nanos), NANOS),
            (None, out) => (NANOS, i128::from(out?.nanos)),
        };
        times = times.checked_mul(10_i128.pow(u32::from(self.base.exponent())))?;
        over = over.checked_mul(10_i128.pow(u32::from(from.exponent())))?;
        divide(minor.checked_mul(times)?, over)
    }
}

/// `percent` per cent of an amount; the whole amount if the product overflows.
pub(crate) fn percentage(minor: i128, percent: u8) -> i128 {
    minor.checked_mul(i128::from(percent)).and_then(|product| divide(product, 100)).unwrap_or(minor)
}

/// Divides and rounds half away from zero; `None` on overflow.
fn divide(amount: i128, over: i128) -> Option<i128> {
    let half = over / 2;
    let shifted = if amount < 0 { amount.checked_sub(half)? } else { amount.checked_add(half)? };
    shifted.checked_div(over)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn currency(code: &str) -> Currency {
        code.parse().unwrap()
    }

    /// A rate that is valid from this day of a month.
    fn of(day: u32, nanos: i64) -> Rate {
        Rate { day: NaiveDate::from_ymd_opt(2026, 3, day).unwrap(), nanos }
    }

    #[test]
    fn of_the_rates_into_and_out_of_the_base_the_later_one_counts() {
        let (eur, usd) = (Currency::EUR, Currency::USD);
        let worth = |into, out| {
            let rates = [(usd, eur, of(into, 900_000_000)), (eur, usd, of(out, 1_250_000_000))];
            Exchange::new(eur, rates).to_base(10_000, usd)
        };
        assert_eq!(worth(2, 1), Some(9_000), "100.00 USD at 0.9");
        assert_eq!(worth(1, 2), Some(8_000), "100.00 USD at 1.25 for a euro");
        assert_eq!(worth(2, 2), Some(9_000), "of one day: the direct one");
    }

    #[test]
    fn a_rate_goes_both_ways_and_minor_units_differ() {
        let (eur, usd, jpy, kwd) = (Currency::EUR, Currency::USD, currency("JPY"), currency("KWD"));
        let rates =
            [(usd, eur, of(1, 920_000_000)), (eur, jpy, of(1, 160_000_000_000)), (kwd, eur, of(1, 3_000_000_000))];
        let exchange = Exchange::new(eur, rates);
        assert_eq!(exchange.to_base(10_000, eur), Some(10_000));
        assert_eq!(exchange.to_base(10_000, usd), Some(9_200), "100.00 USD at 0.92");
        assert_eq!(exchange.to_base(16_000, jpy), Some(10_000), "16,000 yen at 160 for a euro are 100.00 EUR");
        assert_eq!(exchange.to_base(1_000, kwd), Some(300), "1.000 dinar at 3 is 3.00 EUR");
        assert_eq!(exchange.to_base(1, currency("CHF")), None);
        assert_eq!(exchange.to_base(i128::MAX, usd), None);
    }

    #[test]
    fn halves_are_rounded_away_from_zero() {
        assert_eq!([1, 2, 3, -1, -2].map(|minor| percentage(minor, 50)), [1, 1, 2, -1, -1]);
        assert_eq!(percentage(i128::MAX, 50), i128::MAX);
    }
}
