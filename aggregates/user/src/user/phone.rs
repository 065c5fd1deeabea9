//! Whether a user's telephone number is theirs: a code that is sent to it and entered here shows it.
//!
//! The code itself stands nowhere: it is made of whom it is for, under a key of the service, as mailed links are. What is kept is
//! how many were sent, until when the last one is good, and how often it was guessed.

use chrono::{DateTime, TimeDelta, Utc};
use kernel::LastTimes;
use serde::{Deserialize, Serialize};

use crate::CodeFault;

/// How long a code is good.
const LIFETIME: TimeDelta = TimeDelta::minutes(10);
/// How often a code may be entered wrongly; afterwards none is right.
pub(super) const MOST_FAILURES: u32 = 5;
/// How many codes a user may have sent within which time: each costs money, whatever number it goes to.
const LIMITS: [(usize, TimeDelta); 3] =
    [(1, TimeDelta::minutes(1)), (5, TimeDelta::hours(1)), (10, TimeDelta::days(1))];

/// Until when a code is good that is sent now.
pub fn code_expires(now: DateTime<Utc>) -> DateTime<Utc> {
    kernel::to_micros(now + LIFETIME)
}

/// How it stands with a user's telephone number.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhoneState {
    /// Whether it is known to be theirs.
    pub verified: bool,
    /// How many codes were sent, to whatever number.
    pub codes: u32,
    /// The last one, until it was used or the number changed.
    pub sent: Option<SentCode>,
    /// When the last ones were asked for.
    pub asked: LastTimes,
}

/// A code that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentCode {
    pub turn: u32,
    pub expires_at: DateTime<Utc>,
    /// How often another one was entered, or this one too late.
    pub failures: u32,
}

impl PhoneState {
    /// The code of this turn, if it is the last one and still good.
    pub fn code(&self, turn: u32, at: DateTime<Utc>) -> Option<SentCode> {
        self.sent.filter(|sent| sent.turn == turn && at < sent.expires_at && sent.failures < MOST_FAILURES)
    }

    /// From when another code may be sent, if not now.
    pub(super) fn waits_until(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.asked.waits_until(at, &LIMITS)
    }

    /// What is to be said of a code that was entered; the outer none: nothing, because there is none that could be right.
    pub fn entered(&self, right: bool, at: DateTime<Utc>) -> Option<(u32, Option<CodeFault>)> {
        let sent = self.sent.filter(|sent| sent.failures < MOST_FAILURES)?;
        let fault = match right {
            _ if at >= sent.expires_at => Some(CodeFault::Expired),
            false => Some(CodeFault::Wrong),
            true => None,
        };
        Some((sent.turn, fault))
    }

    pub(super) fn note_sent(&mut self, turn: u32, at: DateTime<Utc>, expires_at: DateTime<Utc>) {
        self.codes = turn;
        self.sent = Some(SentCode { turn, expires_at, failures: 0 });
        self.asked.note(at, &LIMITS);
    }

    pub(super) fn note_failure(&mut self, turn: u32) {
        if let Some(sent) = self.sent.as_mut().filter(|sent| sent.turn == turn) {
            sent.failures += 1;
        }
    }

    pub(super) fn note_verified(&mut self) {
        (self.verified, self.sent) = (true, None);
    }

    /// It is another number, or none. What was sent to whom stays counted.
    pub(super) fn forget_number(&mut self) {
        (self.verified, self.sent) = (false, None);
    }
}
