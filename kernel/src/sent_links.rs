//! Links that were sent to somebody for one thing, one after another.

use std::collections::BTreeMap;

use chrono::{DateTime, Duration, Utc};
use serde::{Deserialize, Serialize};

/// Until when each link is good that was sent for one thing, by its turn: they are counted from 1.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SentLinks(BTreeMap<u32, DateTime<Utc>>);

impl SentLinks {
    /// Another one is sent, which is good until then, for as long as each. It takes nothing from those before it: else whoever keeps asking for
    /// somebody would keep them out. Forgotten are those whose time is over when it is sent, and those that would be good for longer than it,
    /// which a clock that was ahead made.
    ///
    /// ```
    /// let (mut links, good_for) = (kernel::SentLinks::default(), chrono::TimeDelta::hours(1));
    /// let at = |minute| chrono::DateTime::UNIX_EPOCH + chrono::TimeDelta::minutes(minute);
    /// links.send(1, at(60), good_for);
    /// links.send(2, at(70), good_for);
    /// assert_eq!([links.until(1), links.until(2)], [Some(at(60)), Some(at(70))]);
    /// links.send(3, at(120), good_for);
    /// assert_eq!([links.until(1), links.until(2), links.until(3)], [None, Some(at(70)), Some(at(120))]);
    /// links.send(4, at(65), good_for);
    /// assert_eq!([links.until(2), links.until(3), links.until(4)], [None, None, Some(at(65))]);
    /// ```
    pub fn send(&mut self, turn: u32, until: DateTime<Utc>, good_for: Duration) {
        let sent_at = until - good_for;
        self.0.retain(|_, other| sent_at < *other && *other <= until);
        self.0.insert(turn, until);
    }

    /// Until when the link of a turn is good; none: there was none, or it is forgotten.
    pub fn until(&self, turn: u32) -> Option<DateTime<Utc>> {
        self.0.get(&turn).copied()
    }

    /// None of them is good any more.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}
