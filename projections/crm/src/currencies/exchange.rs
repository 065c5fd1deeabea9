//! Sums of several currencies as one of the base currency. Integers all the way; rounded half away from zero.

use std::collections::HashMap;

use kernel::Currency;

/// What one unit is worth in the base currency on some day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    base: Currency,
    /// Billionths of `to` for one unit of `from`.
    rates: HashMap<(Currency, Currency), i64>,
}

/// A rate is given in billionths.
const NANOS: i128 = 1_000_000_000;

impl Exchange {
    /// Rates as (from, to, billionths of `to` for one of `from`, at least 1).
    pub fn new(base: Currency, rates: impl IntoIterator<Item = (Currency, Currency, i64)>) -> Self {
        Self { base, rates: rates.into_iter().map(|(from, to, nanos)| ((from, to), nanos)).collect() }
    }

    /// The currency in which sums are shown.
    pub const fn base(&self) -> Currency {
        self.base
    }

    /// An amount of minor units in minor units of the base currency: by the rate into the base, else by the reverse of the
    /// rate out of it. `None`: there is no such rate, or the sum is beyond all reckoning.
    pub fn to_base(&self, minor: i128, from: Currency) -> Option<i128> {
        if from == self.base {
            return Some(minor);
        }
        let (mut times, mut over) = match self.rates.get(&(from, self.base)) {
            Some(nanos) => (i128::from(*nanos), NANOS),
            None => (NANOS, i128::from(*self.rates.get(&(self.base, from))?)),
        };
        times = times.checked_mul(10_i128.pow(u32::from(self.base.exponent())))?;
        over = over.checked_mul(10_i128.pow(u32::from(from.exponent())))?;
        divide(minor.checked_mul(times)?, over)
    }
}

/// `percent` hundredths of an amount.
pub(crate) fn percentage(minor: i128, percent: u8) -> i128 {
    minor.checked_mul(i128::from(percent)).and_then(|product| divide(product, 100)).unwrap_or(minor)
}

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

    #[test]
    fn a_rate_goes_both_ways_and_minor_units_differ() {
        let (eur, usd, jpy, kwd) = (Currency::EUR, Currency::USD, currency("JPY"), currency("KWD"));
        let exchange =
            Exchange::new(eur, [(usd, eur, 920_000_000), (eur, jpy, 160_000_000_000), (kwd, eur, 3_000_000_000)]);
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
