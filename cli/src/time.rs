//! Parses times and durations of the command line.

use chrono::{DateTime, NaiveTime, Utc};
use kernel::{Clock as _, SystemClock};

/// Parses an RFC 3339 time, or a date as its midnight in UTC.
pub fn parse(text: &str) -> Result<DateTime<Utc>, String> {
    kernel::read_time(text)
        .or_else(|_| kernel::read_day(text).map(|day| day.and_time(NaiveTime::MIN).and_utc()))
        .map_err(|_| "allowed are times like 2026-03-01T12:00:00Z and dates like 2026-03-01".to_owned())
}

/// Like [`parse`], but refuses times in the future.
pub fn past(text: &str) -> Result<DateTime<Utc>, String> {
    let time = parse(text)?;
    let now = SystemClock.now();
    if time > now {
        return Err(format!("it is later than now, {}", kernel::write_time(now)));
    }
    Ok(time)
}

/// Maximum duration in days.
const LONGEST_DAYS: u64 = 3_660;

/// Parses a duration: 90s, 15m, 8h, 30d; at most ten years.
pub fn parse_duration(text: &str) -> Result<std::time::Duration, String> {
    let allowed = || format!("allowed are lengths like 90s, 15m, 8h, 30d, up to {LONGEST_DAYS}d");
    let unit = text.chars().last().ok_or_else(allowed)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(allowed()),
    };
    let number: u64 = text.strip_suffix(unit).unwrap_or_default().parse().map_err(|_| allowed())?;
    number
        .checked_mul(seconds)
        .filter(|total| (1..=LONGEST_DAYS * 86_400).contains(total))
        .map(std::time::Duration::from_secs)
        .ok_or_else(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_is_not_what_has_not_come_yet() {
        assert!(past("2026-03-01").is_ok());
        assert!(past("9000-01-01").unwrap_err().starts_with("it is later than now"));
        assert!(past("soon").unwrap_err().starts_with("allowed are times"));
    }

    #[test]
    fn times_and_dates_are_understood() {
        let noon = parse("2026-03-01T13:00:00+01:00").unwrap();
        assert_eq!(noon.to_rfc3339(), "2026-03-01T12:00:00+00:00");
        assert_eq!(parse("2026-03-01").unwrap().to_rfc3339(), "2026-03-01T00:00:00+00:00");
        assert!(parse("yesterday").is_err());
        assert!(parse("2026-02-30").is_err());
        assert!(parse("2026-3-1").is_err());
        assert!(parse("2026-03-01 12:00:00Z").is_err());
    }

    #[test]
    fn lengths_need_a_unit_and_are_not_nothing() {
        assert_eq!(parse_duration("8h").unwrap().as_secs(), 28_800);
        assert_eq!(parse_duration("90s").unwrap().as_secs(), 90);
        for wrong in ["", "8", "h", "0h", "-1h", "99999999999999999999d", "3661d", "8 hours", "8é"] {
            assert!(parse_duration(wrong).is_err(), "{wrong:?} was taken");
        }
    }
}
