//! Parsing and writing of times, strictly in the form of RFC 3339.

use chrono::{DateTime, Datelike, SecondsFormat, Utc};
use serde::de::{Deserializer, Error, Visitor};

/// The text is not a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a time has the form of RFC 3339 with its offset from UTC, such as 2026-07-01T09:30:00Z, and is in the years 0000 to 9999 of UTC"
)]
pub struct NotATime;

/// Parses an RFC 3339 `date-time` and truncates it to whole microseconds, which is what Postgres stores and what is hashed. Other forms
/// that chrono accepts (`2026-7-1 9:30Z`) are refused: they may mean another time than the sender intended. So is a space in place of the
/// `T`, which RFC 3339 leaves to applications: neither JSON Schema's `date-time` nor GraphQL's `DateTime` has it, and in a query string a
/// `+` that was not encoded becomes one.
///
/// # Errors
/// [`NotATime`], which says what is allowed.
pub fn read_time(text: &str) -> Result<DateTime<Utc>, NotATime> {
    if !text.get(10..11).is_some_and(|separator| separator.eq_ignore_ascii_case("T")) {
        return Err(NotATime);
    }
    let time = DateTime::parse_from_rfc3339(text).map_err(|_| NotATime)?;
    // Converts through the count of microseconds, which has no leap seconds: 23:59:60 becomes the next day's midnight, as in Postgres.
    let time = DateTime::from_timestamp_micros(time.timestamp_micros()).ok_or(NotATime)?;
    // An offset or a leap second may lead out of the years that RFC 3339 can write.
    if (0..=9999).contains(&time.year()) { Ok(time) } else { Err(NotATime) }
}

/// Writes a time in the one form in which answers, refusals and the command line show it, and which [`read_time`] reads: RFC 3339 in UTC,
/// with `Z` and no, three or six decimals.
///
/// ```
/// let time = kernel::read_time("2026-07-01T11:30:00.250+02:00").unwrap();
/// assert_eq!(kernel::write_time(time), "2026-07-01T09:30:00.250Z");
/// ```
pub fn write_time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// [`read_time`] for serde, for a member that may be absent:
/// `#[serde(default, deserialize_with = "kernel::deserialize_optional_time")]`.
///
/// # Errors
/// Those of the format, and of [`read_time`].
pub fn deserialize_optional_time<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<DateTime<Utc>>, D::Error> {
    struct Text;
    impl<'de> Visitor<'de> for Text {
        type Value = Option<DateTime<Utc>>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a time such as 2026-07-01T09:30:00Z")
        }

        fn visit_none<E: Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
            deserializer.deserialize_str(self)
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
            read_time(text).map(Some).map_err(E::custom)
        }
    }
    deserializer.deserialize_option(Text)
}

/// Reads a time that was written as it is stored and hashed, in whole microseconds:
/// `#[serde(deserialize_with = "kernel::deserialize_stored_time")]`. A time with more digits, and a leap second, are refused: they have the
/// hash of the time that they stand for in the log, so a proven text could be altered to them unnoticed.
///
/// # Errors
/// Those of the format, and for a time that is not stored like this.
pub fn deserialize_stored_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<DateTime<Utc>, D::Error> {
    let time = <DateTime<Utc> as serde::Deserialize>::deserialize(deserializer)?;
    if DateTime::from_timestamp_micros(time.timestamp_micros()) == Some(time) {
        Ok(time)
    } else {
        Err(D::Error::custom("a stored time has whole microseconds, and is no leap second"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_time_has_whole_microseconds() {
        #[derive(Debug, serde::Deserialize)]
        struct Stored {
            #[serde(deserialize_with = "deserialize_stored_time")]
            at: DateTime<Utc>,
        }
        let read = |at: &str| serde_json::from_value::<Stored>(serde_json::json!({ "at": at })).map(|stored| stored.at);
        for text in ["2026-07-01T09:30:00.123456Z", "2026-07-01T09:30:00Z", "1969-12-31T23:59:59.999999Z"] {
            assert_eq!(read(text).map(write_time).unwrap(), text);
        }
        for other in ["2026-07-01T09:30:00.123456001Z", "1969-12-31T23:59:59.9999999Z", "2026-12-31T23:59:60Z"] {
            assert!(read(other).unwrap_err().to_string().contains("whole microseconds"), "{other}");
        }
    }

    #[test]
    fn a_time_has_one_form() {
        let read = |text| read_time(text).map(|time| time.to_rfc3339());
        assert_eq!(read("2026-07-01T11:30:00.1234567+02:00").as_deref(), Ok("2026-07-01T09:30:00.123456+00:00"));
        assert_eq!(read("2026-07-01t09:30:00z").as_deref(), Ok("2026-07-01T09:30:00+00:00"), "as RFC 3339 says");
        assert_eq!(read("2026-12-31T23:59:60Z").as_deref(), Ok("2027-01-01T00:00:00+00:00"));
        for other in [
            "",
            "yesterday",
            "2026-07-01",
            "2026-07-01T09:30:00",
            "2026-7-1T09:30:00Z",
            "2026-07-01T09:30Z",
            "2026-02-30T09:30:00Z",
            "2026-07-01T25:00:00Z",
            "+12026-07-01T09:30:00Z",
            " 2026-07-01T09:30:00Z",
            "2026-07-01 09:30:00Z",
            "2026-07-01_09:30:00Z",
            "2026-07-01T09:30:00 02:00",
            "2026-07-0\u{661}T09:30:00Z",
            "9999-12-31T23:59:59-00:01",
            "9999-12-31T23:59:60Z",
            "0000-01-01T00:00:00+00:01",
        ] {
            assert_eq!(read_time(other), Err(NotATime), "{other:?}");
        }
    }

    #[test]
    fn what_is_written_can_be_read() {
        for text in [
            "2026-07-01T09:30:00Z",
            "2026-07-01T09:30:00.123456Z",
            "1970-01-01T00:00:00Z",
            "0000-01-01T00:00:00Z",
            "9999-12-31T23:59:59.999999Z",
        ] {
            assert_eq!(read_time(text).map(write_time).as_deref(), Ok(text));
        }
    }

    #[test]
    fn a_time_of_a_body_may_be_left_out_but_not_be_something_else() {
        #[derive(Debug, serde::Deserialize)]
        struct Body {
            #[serde(default, deserialize_with = "deserialize_optional_time")]
            at: Option<DateTime<Utc>>,
        }
        let read = |json: &str| serde_json::from_str::<Body>(json).map(|body| body.at.map(|at| at.to_rfc3339()));
        assert_eq!(read("{}").unwrap(), None);
        assert_eq!(read(r#"{"at": null}"#).unwrap(), None);
        assert_eq!(read(r#"{"at": "2026-07-01T09:30:00Z"}"#).unwrap().as_deref(), Some("2026-07-01T09:30:00+00:00"));
        for other in [r#"{"at": "2026-07-01"}"#, r#"{"at": 7}"#] {
            assert!(read(other).unwrap_err().to_string().contains("2026-07-01T09:30:00Z"), "{other}");
        }
    }
}
