//! The roles that a subject had over time, by when the log recorded them. Past authorization decisions were based on these.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::as_of::AsOf;

/// A period in which a subject had the same roles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolePeriod {
    /// The subject, as in its tokens.
    pub subject: Uuid,
    /// When the log recorded the event that began the period.
    pub from: DateTime<Utc>,
    /// When the log recorded the event that ended it; `None` while it lasts.
    pub to: Option<DateTime<Utc>>,
    /// The names of the roles that the subject has directly; empty while it has no access.
    pub roles: BTreeSet<String>,
}

impl RolePeriod {
    /// Whether the period includes a moment. Valid and known time are the same here, so the earlier of the two counts.
    pub fn held(&self, as_of: AsOf) -> bool {
        match [as_of.at, as_of.known].into_iter().flatten().min() {
            Some(moment) => self.from <= moment && self.to.is_none_or(|to| to > moment),
            None => self.to.is_none(),
        }
    }

    /// Whether the period includes the time just before `at`: a decision at that moment was based on what the log had before.
    pub fn held_before(&self, at: DateTime<Utc>) -> bool {
        held_before(self.from, self.to, at)
    }
}

/// Whether the known time from `from` to `to` includes the time just before `at`.
pub fn held_before(from: DateTime<Utc>, to: Option<DateTime<Utc>>, at: DateTime<Utc>) -> bool {
    from < at && to.is_none_or(|to| at <= to)
}
