//! Currencies: a tenant's base currency and exchange rates by day. One aggregate per tenant, with the tenant's id.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use kernel::{Aggregate, Currency, Refusal};
use serde::{Deserialize, Serialize};

kernel::events! {
    /// The events of a tenant's currencies.
    pub enum CurrenciesEvent of "crm.currencies" {
        /// The base currency was chosen: totals are shown in it. Before the first such event it is EUR.
        BaseCurrencyChosen = "crm.currencies.base_chosen" @ 1 { pub base: Currency },
        /// An exchange rate was set: from this day on, one unit of `from` is worth `rate_nanos` billionths of a unit of `to`.
        ExchangeRateSet = "crm.currencies.rate_set" @ 1 {
            pub from: Currency,
            pub to: Currency,
            /// The first day on which the rate applies.
            pub day: NaiveDate,
            /// The value of one unit of `from`, in billionths of a unit of `to`. At least 1.
            pub rate_nanos: i64,
        },
    }
}

/// A tenant's currencies, as they result from their events.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Currencies {
    base: Option<Currency>,
    /// Rates in billionths, by `from`, `to` and the first day on which they apply.
    rates: BTreeMap<Currency, BTreeMap<Currency, BTreeMap<NaiveDate, i64>>>,
}

/// Commands for a tenant's currencies.
#[derive(Clone, Debug, PartialEq)]
pub enum CurrenciesCommand {
    ChooseBase { base: Currency },
    SetRate(ExchangeRateSet),
}

/// Why a command is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CurrenciesError {
    /// The rate of a currency to itself is always 1 and can't be set.
    #[error("from and to are both {currency}; a rate needs two different currencies")]
    SameCurrency { currency: Currency },
    /// A rate must be positive.
    #[error("the rate is {rate_nanos} billionths; it must be at least 1")]
    RateNotPositive { rate_nanos: i64 },
}

impl From<CurrenciesError> for Refusal {
    fn from(error: CurrenciesError) -> Self {
        let (pointer, code) = match error {
            CurrenciesError::SameCurrency { .. } => ("/to", "same_currency"),
            CurrenciesError::RateNotPositive { .. } => ("/rate_nanos", "rate_not_positive"),
        };
        Self::field(pointer, code, error.to_string())
    }
}

impl Currencies {
    /// The currency in which totals are shown.
    pub fn base(&self) -> Currency {
        self.base.unwrap_or(Currency::EUR)
    }

    /// The rates in effect on a day and those that begin later, by currencies and day.
    pub fn rates_from(&self, day: NaiveDate) -> impl Iterator<Item = ExchangeRateSet> {
        let pairs = self.rates.iter().flat_map(|(from, rates)| rates.iter().map(move |(to, days)| (from, to, days)));
        pairs.flat_map(move |(&from, &to, days)| {
            let holds = days.range(..=day).next_back();
            let later = days.iter().filter(move |(begins, _)| **begins > day);
            holds.into_iter().chain(later).map(move |(&day, &rate_nanos)| ExchangeRateSet { from, to, day, rate_nanos })
        })
    }

    fn rate_set_on(&self, from: Currency, to: Currency, day: NaiveDate) -> Option<i64> {
        self.rates.get(&from)?.get(&to)?.get(&day).copied()
    }
}

impl Aggregate for Currencies {
    const TYPE: &'static str = "crm.currencies";
    type Command = CurrenciesCommand;
    type Event = CurrenciesEvent;
    type Error = CurrenciesError;

    fn decide(&self, command: CurrenciesCommand) -> Result<Vec<CurrenciesEvent>, CurrenciesError> {
        Ok(match command {
            CurrenciesCommand::ChooseBase { base } if self.base == Some(base) => vec![],
            CurrenciesCommand::ChooseBase { base } => vec![BaseCurrencyChosen { base }.into()],
            CurrenciesCommand::SetRate(set) => {
                if set.from == set.to {
                    return Err(CurrenciesError::SameCurrency { currency: set.from });
                }
                if set.rate_nanos < 1 {
                    return Err(CurrenciesError::RateNotPositive { rate_nanos: set.rate_nanos });
                }
                let known = self.rate_set_on(set.from, set.to, set.day) == Some(set.rate_nanos);
                if known { vec![] } else { vec![set.into()] }
            }
        })
    }

    fn evolve(&mut self, event: CurrenciesEvent) {
        match event {
            CurrenciesEvent::BaseCurrencyChosen(chosen) => self.base = Some(chosen.base),
            CurrenciesEvent::ExchangeRateSet(set) => {
                self.rates.entry(set.from).or_default().entry(set.to).or_default().insert(set.day, set.rate_nanos);
            }
        }
    }
}

kernel::aggregate!(Currencies);

#[cfg(test)]
mod tests {
    use cqrs_es::test::TestFramework;

    use super::*;

    fn rate(day: u32, rate_nanos: i64) -> ExchangeRateSet {
        let day = NaiveDate::from_ymd_opt(2026, 1, day).unwrap();
        ExchangeRateSet { from: Currency::USD, to: Currency::EUR, day, rate_nanos }
    }

    #[test]
    fn the_base_is_euro_until_another_is_chosen() {
        let mut currencies = Currencies::default();
        assert_eq!(currencies.base(), Currency::EUR);
        currencies.evolve(BaseCurrencyChosen { base: Currency::USD }.into());
        assert_eq!(currencies.base(), Currency::USD);
    }

    #[test]
    fn choosing_the_base_again_is_no_event() {
        let chosen = || CurrenciesEvent::from(BaseCurrencyChosen { base: Currency::USD });
        let choose = || CurrenciesCommand::ChooseBase { base: Currency::USD };
        TestFramework::<Currencies>::with(())
            .given_no_previous_events()
            .when(choose())
            .then_expect_events(vec![chosen()]);
        TestFramework::<Currencies>::with(()).given(vec![chosen()]).when(choose()).then_expect_events(vec![]);
    }

    #[test]
    fn a_rate_holds_from_its_day_and_can_be_corrected() {
        let given = || TestFramework::<Currencies>::with(()).given(vec![rate(1, 900_000_000).into()]);
        for new in [rate(2, 900_000_000), rate(1, 910_000_000)] {
            given().when(CurrenciesCommand::SetRate(new.clone())).then_expect_events(vec![new.into()]);
        }
        given().when(CurrenciesCommand::SetRate(rate(1, 900_000_000))).then_expect_events(vec![]);
    }

    #[test]
    fn a_rate_holds_until_another_begins() {
        let mut currencies = Currencies::default();
        for (day, rate_nanos) in [(1, 900_000_000), (3, 910_000_000), (5, 920_000_000)] {
            currencies.evolve(rate(day, rate_nanos).into());
        }
        let from = |day| currencies.rates_from(rate(day, 1).day).map(|rate| rate.rate_nanos).collect::<Vec<_>>();
        assert_eq!(from(1), [900_000_000, 910_000_000, 920_000_000]);
        assert_eq!(from(4), [910_000_000, 920_000_000]);
        assert_eq!(from(9), [920_000_000]);
        let before = rate(1, 1).day.pred_opt().unwrap();
        assert_eq!(currencies.rates_from(before).count(), 3);
    }

    #[test]
    fn a_rate_is_positive_and_between_two_currencies() {
        for bad in [0, -1, i64::MIN] {
            TestFramework::<Currencies>::with(())
                .given_no_previous_events()
                .when(CurrenciesCommand::SetRate(rate(1, bad)))
                .then_expect_error(CurrenciesError::RateNotPositive { rate_nanos: bad });
        }
        TestFramework::<Currencies>::with(())
            .given_no_previous_events()
            .when(CurrenciesCommand::SetRate(ExchangeRateSet { to: Currency::USD, ..rate(1, 1) }))
            .then_expect_error(CurrenciesError::SameCurrency { currency: Currency::USD });
    }

    #[test]
    fn the_state_survives_json() {
        let mut currencies = Currencies::default();
        currencies.evolve(rate(1, 5).into());
        let json = serde_json::to_string(&currencies).unwrap();
        assert_eq!(serde_json::from_str::<Currencies>(&json).unwrap(), currencies);
    }
}
