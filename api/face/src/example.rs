//! Examples of responses for the contract. They are values of the response types themselves, so they always match the schema.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use kernel::PostalAddress;
use uuid::Uuid;

/// A response body with an example for the contract.
///
/// Every response type must implement it, or its operation does not compile.
pub trait Example {
    /// A realistic value.
    fn example() -> Self;
}

/// The picture of examples, in base64: a PNG of 16 × 16 pixels.
pub const PICTURE: &str =
    "iVBORw0KGgoAAAANSUhEUgAAABAAAAAQAQAAAAA3iMLMAAAADklEQVR42mP4/5+BFAQA/U4f4d7IdZcAAAAASUVORK5CYII=";

/// The ids of examples: `0197a8a0-0000-7000-8000-…`, with this number at the end.
pub const fn id(number: u16) -> Uuid {
    Uuid::from_u128(0x0197_a8a0_0000_7000_8000_0000_0000_0000 + number as u128)
}

/// The times of examples: this number of minutes after 2026-05-04, 09:30 UTC.
pub fn time(minutes: u32) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::minutes(29_631_450 + i64::from(minutes))
}

/// The days of examples: this number of days after 2026-05-04.
pub fn day(days: u16) -> NaiveDate {
    time(u32::from(days) * 24 * 60).date_naive()
}

/// The postal address of examples.
pub fn postal_address() -> PostalAddress {
    PostalAddress {
        street: Some("1701 North Scott Street".to_owned()),
        locality: Some("Arlington".to_owned()),
        region: Some("Virginia".to_owned()),
        postal_code: Some("22209".to_owned()),
        country: Some("US".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_are_of_one_world() {
        assert_eq!(id(1).to_string(), "0197a8a0-0000-7000-8000-000000000001");
        assert_eq!(time(5).to_rfc3339(), "2026-05-04T09:35:00+00:00");
        assert_eq!(day(27).to_string(), "2026-05-31");
    }
}
