//! Verification of a user's telephone number: a code is sent to it and entered here.
//!
//! The code itself is not stored: it is derived from the recipient with a key of the service, like links in mails. The state has the number
//! of codes sent, the expiry of the last one, and the number of failed attempts.

use chrono::{DateTime, TimeDelta, Utc};
use kernel::LastTimes;
use serde::{Deserialize, Serialize};

use crate::CodeFault;

/// Validity of a code.
const LIFETIME: TimeDelta = TimeDelta::minutes(10);
/// Maximum failed attempts; after that no code is accepted until a new one is sent.
pub(super) const MOST_FAILURES: u32 = 5;
/// Limits on the codes sent to a user: the number per period. Each message costs money, whatever number it goes to.
const LIMITS: [(usize, TimeDelta); 3] =
    [(1, TimeDelta::minutes(1)), (5, TimeDelta::hours(1)), (10, TimeDelta::days(1))];

/// The expiry of a code that is sent now.
pub fn code_expires(now: DateTime<Utc>) -> DateTime<Utc> {
    kernel::to_micros(now + LIFETIME)
}

/// The verification state of a user's telephone number.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhoneState {
    /// Whether the number is verified.
    pub verified: bool,
    /// Number of codes sent, to whatever number.
    pub codes: u32,
    /// The last code, until it is used or the number changes.
    pub sent: Option<SentCode>,
    /// When the latest codes were requested.
    pub asked: LastTimes,
}

/// A code that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentCode {
    pub turn: u32,
    pub expires_at: DateTime<Utc>,
    /// Number of failed attempts: a wrong code, or this one after its expiry.
    pub failures: u32,
}

impl PhoneState {
    /// The code with this number, if it is the last one and still valid.
    pub fn code(&self, turn: u32, at: DateTime<Utc>) -> Option<SentCode> {
        self.sent.filter(|sent| sent.turn == turn && at < sent.expires_at && sent.failures < MOST_FAILURES)
    }

    /// When another code may be sent, if not now.
    pub(super) fn waits_until(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.asked.waits_until(at, &LIMITS)
    }

    /// The result of an entered code: its number, and why it is not valid, if so. `None` if no code can be valid, so there is nothing to
    /// record.
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

    /// Resets the verification because the number was changed or removed. The count of codes stays.
    pub(super) fn forget_number(&mut self) {
        (self.verified, self.sent) = (false, None);
    }
}
