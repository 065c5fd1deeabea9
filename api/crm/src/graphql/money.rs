//! Money in GraphQL: minor units as a `BigInt`, which is text so that no client rounds it, and the amount as a decimal for people.

use face::graphql::BigInt;
use juniper::GraphQLObject;
use kernel::Currency;

/// An amount in one currency.
#[derive(Clone, Debug, PartialEq, Eq, GraphQLObject)]
pub struct Money {
    /// Minor units of the currency: cents of a euro, whole yen, fils of a dinar.
    pub minor: BigInt,
    /// ISO 4217 currency code.
    pub currency: String,
    /// The amount in major units, with as many decimal places as the currency has: `"1234.50"`.
    pub amount: String,
}

impl Money {
    /// The amount of `minor` minor units of a currency.
    pub fn new(minor: i128, currency: Currency) -> Self {
        Self { minor: BigInt(minor), currency: currency.code().to_owned(), amount: decimal(minor, currency.exponent()) }
    }
}

impl From<kernel::Money> for Money {
    fn from(money: kernel::Money) -> Self {
        Self::new(money.minor.into(), money.currency)
    }
}

fn decimal(minor: i128, digits: u8) -> String {
    let (sign, scale) = (if minor < 0 { "-" } else { "" }, 10_u128.pow(digits.into()));
    let (units, rest) = (minor.unsigned_abs() / scale, minor.unsigned_abs() % scale);
    match digits {
        0 => format!("{sign}{units}"),
        _ => format!("{sign}{units}.{rest:0width$}", width = digits.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_has_as_many_decimals_as_its_currency() {
        let amount = |minor, code: &str| Money::new(minor, code.parse().unwrap()).amount;
        assert_eq!(amount(123_450, "EUR"), "1234.50");
        assert_eq!(amount(-5, "EUR"), "-0.05");
        assert_eq!(amount(1_234, "JPY"), "1234");
        assert_eq!(amount(i128::from(i64::MAX) * 2, "KWD"), "18446744073709551.614");
    }
}
