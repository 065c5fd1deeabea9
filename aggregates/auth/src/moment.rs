//! When something was, by a clock and by the eras of an account. Which of two came first the account counts; no clock has to tell.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{Account, ClientId, SessionStarted, SessionsEnded};

/// When something was: somebody began to sign in, a session began, something was granted; or all of that ended.
///
/// A clock that was ahead calls what it began later than what ends it. So the account counts how often all sessions have ended, and how often
/// its person took back what a client may do: the eras. What begins keeps that count beside its time. Where either of two has none, of
/// before it was counted, their times are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// What the clock said.
    pub at: DateTime<Utc>,
    /// How often what ends it had happened by then. Absent: it was not counted yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub era: Option<u32>,
}

impl Moment {
    /// Whether what began then has ended with what ended at `end`: that was in the same era, or in a later one.
    pub fn ends_by(self, end: Self) -> bool {
        match (self.era, end.era) {
            (Some(began), Some(ended)) => began <= ended,
            _ => self.at <= end.at,
        }
    }
}

impl SessionStarted {
    /// When it began.
    pub fn began(&self) -> Moment {
        Moment { at: self.at, era: self.era }
    }
}

impl SessionsEnded {
    /// When they ended: all of that era, and of those before it.
    pub fn ended(&self) -> Moment {
        Moment { at: self.at, era: self.era }
    }
}

impl Account {
    /// What the clock says now, as this account counts. What ends all sessions afterwards ends what begins with it.
    pub fn moment(&self, now: DateTime<Utc>) -> Moment {
        Moment { at: now, era: Some(self.era) }
    }

    /// Whether what began then still holds: not all sessions have ended since.
    pub fn stands_by(&self, began: Moment) -> bool {
        let ended = self.ended_at.map(|at| Moment { at, era: self.era.checked_sub(1) });
        !self.closed && ended.is_none_or(|ended| !began.ends_by(ended))
    }

    /// What the clock says now, as this account counts what it lets a client do. What takes that back afterwards ends what is granted with it.
    pub fn consent_moment(&self, client: ClientId, now: DateTime<Utc>) -> Moment {
        let before = self.withdrawn.get(&client).and_then(|withdrawn| withdrawn.era);
        Moment { at: now, era: Some(before.map_or(0, |era| era.saturating_add(1))) }
    }

    /// Whether what was granted to a client then still holds: it was not taken back since.
    pub fn lets(&self, client: ClientId, granted: Moment) -> bool {
        self.withdrawn.get(&client).is_none_or(|withdrawn| !granted.ends_by(*withdrawn))
    }
}
