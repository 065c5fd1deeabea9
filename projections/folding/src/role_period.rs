//! From when to when somebody had which roles, as the log knew it: what they were let do rested on that.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::as_of::AsOf;

/// A stretch of time in which somebody had the same roles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolePeriod {
    /// The subject of their tokens.
    pub subject: Uuid,
    /// When the log took what began it.
    pub from: DateTime<Utc>,
    /// When the log took what ended it; none: it goes on.
    pub to: Option<DateTime<Utc>>,
    /// Their own roles, by name; none while they are let in nowhere.
    pub roles: BTreeSet<String>,
}

impl RolePeriod {
    /// Whether it held as of a moment: what the log took of it, it took when it was so.
    pub fn held(&self, as_of: AsOf) -> bool {
        match [as_of.at, as_of.known].into_iter().flatten().min() {
            Some(moment) => self.from <= moment && self.to.is_none_or(|to| to > moment),
            None => self.to.is_none(),
        }
    }

    /// Whether it held just before a moment: what was decided then was decided by what the log had before.
    pub fn held_before(&self, at: DateTime<Utc>) -> bool {
        held_before(self.from, self.to, at)
    }
}

/// Whether what the log knew from one time to another held just before a moment.
pub fn held_before(from: DateTime<Utc>, to: Option<DateTime<Utc>>, at: DateTime<Utc>) -> bool {
    from < at && to.is_none_or(|to| at <= to)
}
