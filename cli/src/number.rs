//! Parses whole numbers of the command line. Errors name the allowed range.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use kernel::Position;

/// Maximum number of rows of a list.
pub const MOST_ROWS: u32 = 10_000;

/// A value parser for numbers in this range.
pub fn of<N>(allowed: RangeInclusive<N>) -> impl Fn(&str) -> Result<N, String> + Clone + Send + Sync + 'static
where
    N: FromStr + PartialOrd + Display + Clone + Send + Sync + 'static,
{
    move |text| {
        let number = text.parse().ok().filter(|number| allowed.contains(number));
        number.ok_or_else(|| format!("allowed is a whole number from {} to {}", allowed.start(), allowed.end()))
    }
}

/// Parses the number of rows of a list.
pub fn rows(text: &str) -> Result<u32, String> {
    of(1..=MOST_ROWS)(text)
}

/// Parses a position of a log.
pub fn position(text: &str) -> Result<Position, String> {
    of(0..=i64::MAX.cast_unsigned())(text).map(Position)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_number_or_too_large_or_too_small_is_told_what_is_allowed() {
        assert_eq!((rows("1"), rows("10000")), (Ok(1), Ok(10_000)));
        for wrong in ["0", "10001", "-1", "ten", "1.5", "", "99999999999999999999"] {
            assert_eq!(rows(wrong), Err("allowed is a whole number from 1 to 10000".to_owned()), "{wrong:?}");
        }
        assert_eq!(position("7"), Ok(Position(7)));
        let refused = position("9223372036854775808").unwrap_err();
        assert_eq!(refused, "allowed is a whole number from 0 to 9223372036854775807");
    }
}
