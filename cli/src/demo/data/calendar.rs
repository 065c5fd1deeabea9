//! Draws times: on working days between 8:00 and 18:00 UTC, before the end of the history.

use chrono::{DateTime, Datelike, Duration, NaiveDate, NaiveTime, Utc, Weekday};

use super::dice::Dice;

/// Length of the history in days: 18 months.
pub const DAYS: i64 = 548;

/// The time span of the history. It ends at midnight before the day `until`.
#[derive(Clone, Copy, Debug)]
pub struct Calendar {
    until: NaiveDate,
}

impl Calendar {
    /// A history that ends at the start of the day `until`.
    pub fn new(until: NaiveDate) -> Self {
        Self { until }
    }

    /// The first day.
    pub fn first_day(&self) -> NaiveDate {
        self.until - Duration::days(DAYS)
    }

    /// The exclusive end of the history.
    pub fn end(&self) -> DateTime<Utc> {
        midnight(self.until)
    }

    /// A time in working hours, `day` days after the first day, or on the next working day.
    pub fn moment(&self, day: i64, dice: &mut Dice) -> DateTime<Utc> {
        at_work(midnight(self.first_day() + Duration::days(day)), dice)
    }

    /// A time between `low` and `high` days after `than`, or none if that is past the end.
    pub fn later(&self, than: DateTime<Utc>, low: i64, high: i64, dice: &mut Dice) -> Option<DateTime<Utc>> {
        let day = midnight(than.date_naive() + Duration::days(dice.between(low, high)));
        let moment = at_work(day, dice).max(than + Duration::minutes(dice.between(5, 50)));
        (moment < self.end()).then_some(moment)
    }
}

/// A due date: a working day between `low` and `high` days after a time.
pub fn due(after: DateTime<Utc>, low: i64, high: i64, dice: &mut Dice) -> NaiveDate {
    working_day(after.date_naive() + Duration::days(dice.between(low, high)))
}

fn midnight(day: NaiveDate) -> DateTime<Utc> {
    day.and_time(NaiveTime::MIN).and_utc()
}

fn at_work(day: DateTime<Utc>, dice: &mut Dice) -> DateTime<Utc> {
    midnight(working_day(day.date_naive())) + Duration::seconds(dice.between(8 * 3600, 18 * 3600 - 1))
}

/// The day itself, or the Monday after a weekend.
fn working_day(day: NaiveDate) -> NaiveDate {
    match day.weekday() {
        Weekday::Sat => day + Duration::days(2),
        Weekday::Sun => day + Duration::days(1),
        _ => day,
    }
}

#[cfg(test)]
mod tests {
    use chrono::Timelike;

    use super::*;

    #[test]
    fn everything_happens_on_working_days_and_before_the_end() {
        let calendar = Calendar::new(NaiveDate::from_ymd_opt(2026, 11, 23).unwrap());
        let mut dice = Dice::new(1, "calendar");
        for day in 0..DAYS - 3 {
            let first = calendar.moment(day, &mut dice);
            for moment in [Some(first), calendar.later(first, 0, 9, &mut dice)].into_iter().flatten() {
                assert!(moment.weekday().number_from_monday() <= 5, "{moment}");
                assert!((8..19).contains(&moment.hour()), "{moment}");
                assert!(moment >= first && moment < calendar.end(), "{moment}");
            }
        }
    }
}
