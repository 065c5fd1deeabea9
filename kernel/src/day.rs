//! Parsing of calendar days, strictly in the form `YYYY-MM-DD`.

use chrono::NaiveDate;
use serde::de::{Deserializer, Error, Visitor};

/// The text is not a calendar day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a day has the form YYYY-MM-DD, such as 2026-02-03, and has to exist in the calendar")]
pub struct NotADay;

/// Parses a day as RFC 3339 writes it (`full-date`): four digits, two, two. Other forms that chrono accepts (`2026-2-3`, signs, years with
/// more digits) are refused: they may mean another day than the sender intended.
///
/// # Errors
/// [`NotADay`], which says what is allowed.
pub fn read_day(text: &str) -> Result<NaiveDate, NotADay> {
    let bytes = text.as_bytes();
    let form = bytes.len() == 10
        && bytes.iter().enumerate().all(|(at, byte)| match at {
            4 | 7 => *byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    if form { text.parse().map_err(|_| NotADay) } else { Err(NotADay) }
}

/// [`read_day`] for serde: `#[serde(deserialize_with = "kernel::deserialize_day")]`.
///
/// # Errors
/// Those of the format, and of [`read_day`].
pub fn deserialize_day<'de, D: Deserializer<'de>>(deserializer: D) -> Result<NaiveDate, D::Error> {
    struct Text;
    impl Visitor<'_> for Text {
        type Value = NaiveDate;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a day such as 2026-02-03")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<NaiveDate, E> {
            read_day(text).map_err(E::custom)
        }
    }
    deserializer.deserialize_str(Text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_has_one_form() {
        assert_eq!(read_day("2024-02-29").map(|day| day.to_string()).as_deref(), Ok("2024-02-29"));
        for other in [
            "",
            "2024-2-3",
            "2024-02-30",
            "24-02-03",
            "2024/02/03",
            "+2024-02-3",
            "2024-02-03T00:00:00Z",
            "2024-02-\u{663}",
        ] {
            assert_eq!(read_day(other), Err(NotADay), "{other:?}");
        }
    }
}
