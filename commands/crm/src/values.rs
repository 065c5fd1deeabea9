//! Validation of CRM's values: web addresses, days and more. (Length limits: `lengths.rs`.)

use std::ops::RangeInclusive;

use chrono::{Datelike, NaiveDate};
use kernel::{Checks, is_web_address};

use crate::lengths;
pub(crate) use crate::lengths::{NAME, NOTE, REASON, SUBJECT};

/// The allowed years of close dates and exchange rates.
const YEARS: RangeInclusive<i32> = 1970..=2199;

/// Validates a web address: `http://` or `https://`, a host, no spaces, at most 2,000 characters.
pub(crate) fn website(checks: &mut Checks, pointer: &str, text: &str) -> String {
    let text = text.trim();
    if !is_web_address(text, &["https://", "http://"]) || text.chars().count() > lengths::WEBSITE {
        checks.refuse(pointer, "website", "not a web address like https://example.com");
    }
    text.to_owned()
}

/// Validates a business date: its year must be in the allowed range.
pub(crate) fn day(checks: &mut Checks, pointer: &str, day: NaiveDate) -> NaiveDate {
    if !YEARS.contains(&day.year()) {
        let detail = format!("allowed are the years {} to {}", YEARS.start(), YEARS.end());
        checks.refuse(pointer, "day_out_of_range", detail);
    }
    day
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(check: impl FnOnce(&mut Checks)) -> Vec<&'static str> {
        let mut checks = Checks::default();
        check(&mut checks);
        checks.into_errors().into_iter().map(|error| error.code).collect()
    }

    #[test]
    fn web_addresses_have_a_scheme_and_a_host() {
        for good in ["https://example.com", "http://example.com/a?b=c#d", "https://münchen.example"] {
            assert!(refused(|checks| _ = website(checks, "/website", good)).is_empty(), "{good:?}");
        }
        let long = format!("https://example.com/{}", "a".repeat(2_000));
        for bad in ["", "example.com", "javascript:alert(1)", "https://", "https://a b", "https://user:pw@host", &long]
        {
            assert_eq!(refused(|checks| _ = website(checks, "/website", bad)), ["website"], "{bad:?}");
        }
    }

    #[test]
    fn days_are_within_living_memory_and_foresight() {
        let on = |year| NaiveDate::from_ymd_opt(year, 1, 1).unwrap();
        assert!(refused(|checks| _ = day(checks, "/day", on(2026))).is_empty());
        for bad in [-5, 1969, 2200, 262_142] {
            assert_eq!(refused(|checks| _ = day(checks, "/day", on(bad))), ["day_out_of_range"]);
        }
    }
}
