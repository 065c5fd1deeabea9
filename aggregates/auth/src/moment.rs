//! Moments in the history of an account: a time and an era. The order of two moments follows from the eras, so it does not depend on
//! clocks.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{Account, ClientId, SessionStarted, SessionsEnded};

/// A moment: when a sign-in or a session began or a grant was made, or when all of them ended.
///
/// Clocks of machines differ, so the time of a session's start may be later than that of the event that ended it. Therefore the account
/// counts eras: how often all sessions have ended, and how often the user withdrew consent to a client. Each start records the count of its
/// time. If one of two moments has no era, because it is from before eras were counted, their times are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// The time by the clock.
    pub at: DateTime<Utc>,
    /// The era: how many endings had happened by then. Absent: it was not counted yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub era: Option<u32>,
}

impl Moment {
    /// Whether something that began at this moment was ended by the ending at `end`, which was in the same era or a later one.
    pub fn ends_by(self, end: Self) -> bool {
        match (self.era, end.era) {
            (Some(began), Some(ended)) => began <= ended,
            _ => self.at <= end.at,
        }
    }
}

impl SessionStarted {
    /// The moment when the session began.
    pub fn began(&self) -> Moment {
        Moment { at: self.at, era: self.era }
    }
}

impl SessionsEnded {
    /// The moment when the sessions ended: those of that era and earlier ones.
    pub fn ended(&self) -> Moment {
        Moment { at: self.at, era: self.era }
    }
}

impl Account {
    /// The current moment, in the era of the account's sessions. If all sessions end later, whatever began at this moment ends too.
    pub fn moment(&self, now: DateTime<Utc>) -> Moment {
        Moment { at: now, era: Some(self.era) }
    }

    /// Whether something that began at this moment is still valid: not all sessions have ended since.
    pub fn is_still_valid(&self, began: Moment) -> bool {
        let ended = self.ended_at.map(|at| Moment { at, era: self.era.checked_sub(1) });
        !self.closed && ended.is_none_or(|ended| !began.ends_by(ended))
    }

    /// The current moment, in the era of the consent to a client. If the consent is withdrawn later, grants made at this moment end.
    pub fn consent_moment(&self, client: ClientId, now: DateTime<Utc>) -> Moment {
        let before = self.withdrawn.get(&client).and_then(|withdrawn| withdrawn.era);
        Moment { at: now, era: Some(before.map_or(0, |era| era.saturating_add(1))) }
    }

    /// Whether a grant made to a client at this moment is still valid: the consent was not withdrawn since.
    pub fn is_consent_valid(&self, client: ClientId, granted: Moment) -> bool {
        self.withdrawn.get(&client).is_none_or(|withdrawn| !granted.ends_by(*withdrawn))
    }
}
