//! The times of a schedule: a cron expression in a time zone.

use chrono::{DateTime, NaiveDateTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use kernel::FieldError;

/// The fields of an expression, and the values of each.
const FIELDS: [(&str, &str); 5] = [
    ("minute", "0 to 59"),
    ("hour", "0 to 23"),
    ("day of month", "1 to 31, and L for the last"),
    ("month", "1 to 12, or JAN to DEC"),
    ("day of week", "0 to 7 (0 and 7 are Sunday), or SUN to SAT"),
];

/// The longest gap: some zones once skipped a whole day.
const LONGEST_GAP_MINUTES: i64 = 25 * 60;

/// The times at which a schedule's jobs are due. A cron expression with five fields (minute, hour, day of month, month, day of week), in
/// local time of the time zone.
///
/// If the clocks are put forward over a time, the job is due at the first moment after the gap; if they are put back over it, the job is
/// due once. It is otherwise with expressions that have a `*` as minute or hour (also with a step), since they mean an interval: they
/// follow the time that passes, so they match each of the two hours that the clocks show twice, and nothing in a gap.
#[derive(Clone, Debug)]
pub struct Timetable {
    cron: Cron,
    zone: Tz,
}

impl Timetable {
    /// Parses a cron expression and the name of a time zone.
    ///
    /// # Errors
    /// What is wrong with `/cron` or `/time_zone`; also an expression that matches no date.
    pub fn new(cron: &str, time_zone: &str) -> Result<Self, Vec<FieldError>> {
        let mut errors = Vec::new();
        let mut refuse = |pointer: &str, code, detail: String| errors.push(FieldError::new(pointer, code, detail));
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let read = parser.parse(cron).map_err(|_| refuse("/cron", "cron_invalid", wrong(&parser, cron)));
        let zone = time_zone.parse::<Tz>().map_err(|_| {
            let detail = format!("{time_zone:?} is not a time zone; allowed are IANA names, such as \"Europe/Berlin\"");
            refuse("/time_zone", "time_zone", detail);
        });
        match (read, zone) {
            (Ok(cron), Ok(zone)) => {
                let table = Self { cron, zone };
                if table.after(DateTime::UNIX_EPOCH).is_none() {
                    return Err(vec![FieldError::new("/cron", "cron_never", "no date matches this expression")]);
                }
                Ok(table)
            }
            _ => Err(errors),
        }
    }

    /// The first time after this one; `None` if there is none.
    pub fn after(&self, time: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let local = self.zone.from_utc_datetime(&time.naive_utc());
        if self.is_interval() {
            let next = self.cron.find_next_occurrence(&local, false).ok()?.with_timezone(&Utc);
            // A safeguard against mistakes of the library when clocks change: times always increase.
            return (next > time).then_some(next);
        }
        // The library treats only expressions with a single minute and a single hour as times of the day: `0 2,14 * * *` would be due twice
        // when the clocks are put back. So the dates are those of a clock that is never changed, and are looked up in the zone afterwards.
        let mut shown = local.naive_local();
        loop {
            shown = self.cron.find_next_occurrence(&shown, false).ok()?;
            // Of several times in one gap, the first is after `time`, and the others are at the same moment. In the second of two hours that
            // the clocks show, the times of both are over.
            if let Some(next) = self.moment(shown).filter(|next| *next > time) {
                return Some(next);
            }
        }
    }

    /// Whether it means an interval (`*/15 * * * *`, `0 * * * *`) and not times of the day.
    const fn is_interval(&self) -> bool {
        self.cron.pattern.minutes.from_wildcard || self.cron.pattern.hours.from_wildcard
    }

    /// The moment at which the zone's clocks show this time: the first of two, or the first one after the gap that skips it.
    fn moment(&self, shown: NaiveDateTime) -> Option<DateTime<Utc>> {
        // Gaps end at whole minutes.
        (0..=LONGEST_GAP_MINUTES)
            .filter_map(|minutes| shown.checked_add_signed(TimeDelta::minutes(minutes)))
            .find_map(|shown| self.zone.from_local_datetime(&shown).earliest())
            .map(|moment| moment.with_timezone(&Utc))
    }

    /// The next times after this one.
    pub fn next(&self, time: DateTime<Utc>, count: usize) -> Vec<DateTime<Utc>> {
        std::iter::successors(self.after(time), |time| self.after(*time)).take(count).collect()
    }
}

/// Describes what is wrong with an invalid expression. The library's own messages do not refer to the expression's fields.
fn wrong(parser: &CronParser, cron: &str) -> String {
    let fields: Vec<&str> = cron.split_whitespace().collect();
    // Test each field alone, with `*` in the others.
    let is_wrong = |at: usize| {
        let mut alone = ["*"; FIELDS.len()];
        alone[at] = fields[at];
        parser.parse(&alone.join(" ")).is_err()
    };
    if fields.len() == FIELDS.len()
        && let Some(at) = (0..FIELDS.len()).find(|at| is_wrong(*at))
    {
        let (name, values) = FIELDS[at];
        return format!(
            "{:?} is not a valid {name}; allowed are {values}, and *, lists (1,3), ranges (1-3) and steps (*/3)",
            fields[at]
        );
    }
    let names = FIELDS.map(|(name, _)| name).join(", ");
    format!("{cron:?} is not a cron expression; allowed are five fields ({names}), such as \"0 6 * * MON\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(cron: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
        let after: DateTime<Utc> = after.parse().unwrap_or_default();
        let table = Timetable::new(cron, zone).unwrap_or_else(|errors| panic!("{errors:?}"));
        table.next(after, count).iter().map(|time| time.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)).collect()
    }

    fn codes(cron: &str, zone: &str) -> Vec<(String, &'static str)> {
        let refused = Timetable::new(cron, zone).err().unwrap_or_default();
        refused.into_iter().map(|error| (error.pointer, error.code)).collect()
    }

    #[test]
    fn times_are_those_that_the_clocks_of_the_zone_show() {
        // Winter is an hour ahead of UTC there, summer two.
        let at_six = times("0 6 * * *", "Europe/Berlin", "2026-03-27T12:00:00Z", 3);
        assert_eq!(at_six, ["2026-03-28T05:00:00Z", "2026-03-29T04:00:00Z", "2026-03-30T04:00:00Z"]);
        let on_workdays = times("30 9 * * MON-FRI", "America/New_York", "2026-01-02T20:00:00Z", 2);
        assert_eq!(on_workdays, ["2026-01-05T14:30:00Z", "2026-01-06T14:30:00Z"]);
        assert_eq!(times("0 0 L * *", "UTC", "2028-02-01T00:00:00Z", 1), ["2028-02-29T00:00:00Z"]);
        assert_eq!(times("*/15 * * * *", "Asia/Kathmandu", "2026-01-01T00:00:01Z", 1), ["2026-01-01T00:15:00Z"]);
    }

    #[test]
    fn a_time_that_the_clocks_leap_over_falls_on_the_first_moment_after_the_gap() {
        let daily = times("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", 2);
        assert_eq!(daily, ["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]);
    }

    #[test]
    fn a_time_that_the_clocks_show_twice_comes_once() {
        let daily = times("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", 2);
        assert_eq!(daily, ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]);
    }

    #[test]
    fn several_times_of_a_day_follow_the_same_rule_as_one() {
        let skipped = times("30 2,14 * * *", "Europe/Berlin", "2026-03-28T14:00:00Z", 3);
        assert_eq!(skipped, ["2026-03-29T01:00:00Z", "2026-03-29T12:30:00Z", "2026-03-30T00:30:00Z"]);
        let twice = times("30 2,14 * * *", "Europe/Berlin", "2026-10-24T14:00:00Z", 3);
        assert_eq!(twice, ["2026-10-25T00:30:00Z", "2026-10-25T13:30:00Z", "2026-10-26T01:30:00Z"]);
        // All that one gap skips is at the same moment, which comes once.
        let skipped = times("0,30 2,3 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", 3);
        assert_eq!(skipped, ["2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z", "2026-03-30T00:00:00Z"]);
        // Asked for between the two, and in the second of the two hours.
        let twice = |after| times("15,45 2 * * *", "Europe/Berlin", after, 2);
        assert_eq!(twice("2026-10-25T00:20:00Z"), ["2026-10-25T00:45:00Z", "2026-10-26T01:15:00Z"]);
        assert_eq!(twice("2026-10-25T01:20:00Z"), ["2026-10-26T01:15:00Z", "2026-10-26T01:45:00Z"]);
    }

    #[test]
    fn a_gap_may_be_at_midnight_and_half_an_hour_or_a_day_long() {
        assert_eq!(times("0 0 * * *", "America/Santiago", "2026-09-05T12:00:00Z", 1), ["2026-09-06T04:00:00Z"]);
        assert_eq!(times("10 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00Z", 1), ["2026-10-03T15:30:00Z"]);
        assert_eq!(times("0 6 30 12 *", "Pacific/Apia", "2011-12-29T20:00:00Z", 1), ["2011-12-30T10:00:00Z"]);
    }

    #[test]
    fn an_interval_follows_the_time_that_passes() {
        let hourly = times("0 * * * *", "Europe/Berlin", "2026-10-24T23:30:00Z", 3);
        assert_eq!(hourly, ["2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z", "2026-10-25T02:00:00Z"]);
        let quarters = times("*/30 2 * * *", "Europe/Berlin", "2026-10-24T23:30:00Z", 4);
        let twice = ["2026-10-25T00:00:00Z", "2026-10-25T00:30:00Z", "2026-10-25T01:00:00Z", "2026-10-25T01:30:00Z"];
        assert_eq!(quarters, twice);
        let leapt = times("0 * * * *", "Europe/Berlin", "2026-03-29T00:00:00Z", 2);
        assert_eq!(leapt, ["2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z"]);
    }

    #[test]
    fn what_never_comes_or_is_no_expression_or_zone_is_refused() {
        assert_eq!(codes("0 6 * *", "UTC"), [("/cron".to_owned(), "cron_invalid")]);
        assert_eq!(codes("0 0 6 * * *", "UTC"), [("/cron".to_owned(), "cron_invalid")]);
        assert_eq!(codes("61 6 * * *", "UTC"), [("/cron".to_owned(), "cron_invalid")]);
        assert_eq!(codes("0 0 31 2 *", "UTC"), [("/cron".to_owned(), "cron_never")]);
        assert_eq!(codes("0 6 * * *", "Mars/Olympus"), [("/time_zone".to_owned(), "time_zone")]);
        assert_eq!(codes("", "").len(), 2);
    }

    #[test]
    fn what_is_wrong_with_an_expression_is_said_of_its_fields() {
        let detail = |cron: &str| Timetable::new(cron, "UTC").err().unwrap_or_default().remove(0).detail;
        for (cron, begins) in [
            ("61 6 * * *", "\"61\" is not a valid minute; allowed are 0 to 59"),
            ("0 24 * * *", "\"24\" is not a valid hour; allowed are 0 to 23"),
            ("0 6 32 * *", "\"32\" is not a valid day of month; allowed are 1 to 31"),
            ("0 6 * JUNE *", "\"JUNE\" is not a valid month; allowed are 1 to 12, or JAN to DEC"),
            ("0 6 * * 8", "\"8\" is not a valid day of week; allowed are 0 to 7"),
            (
                "0 6 * *",
                "\"0 6 * *\" is not a cron expression; allowed are five fields (minute, hour, day of month, month, day of week)",
            ),
        ] {
            assert!(detail(cron).starts_with(begins), "{cron}: {}", detail(cron));
        }
    }
}
