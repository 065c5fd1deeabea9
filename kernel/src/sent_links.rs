//! Several links that were sent to a person one after another for the same purpose, such as accepting an invitation.

use std::collections::BTreeMap;

use chrono::{DateTime, Duration, Utc};
use serde::{Deserialize, Serialize};

/// When each link expires, by its number: links are numbered from 1.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SentLinks(BTreeMap<u32, DateTime<Utc>>);

impl SentLinks {
    /// Adds the link number `turn`, which expires at `until`; `good_for` is how long every link is valid. Earlier links stay valid:
    /// otherwise somebody who keeps requesting links for a person could lock that person out. Removed are links that had expired when this
    /// one was sent, and links that expire later than it, which a clock that ran ahead created.
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

    /// When the link with this number expires; `None`: there was none, or it was removed.
    pub fn until(&self, turn: u32) -> Option<DateTime<Utc>> {
        self.0.get(&turn).copied()
    }

    /// Revokes all links.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}
