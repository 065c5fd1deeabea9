//! [`Seldom`]: how often the process's log says that something still does not work.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The time between two complaints about the same thing.
const PAUSE: Duration = Duration::from_mins(1);

/// Lets one complaint a minute through, about something that is tried again every few seconds or more often, perhaps by many tasks.
#[derive(Debug, Default)]
pub struct Seldom(Mutex<Option<Instant>>);

impl Seldom {
    /// Whether to complain now.
    pub fn is_due(&self) -> bool {
        self.is_due_at(Instant::now())
    }

    fn is_due_at(&self, now: Instant) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = last.is_none_or(|last| now.duration_since(last) >= PAUSE);
        if is_due {
            *last = Some(now);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_again_and_again_is_said_once_a_minute() {
        let (seldom, start) = (Seldom::default(), Instant::now());
        let attempts = (0..300).map(|nth| start + nth * Duration::from_millis(500));
        assert_eq!(
            attempts.filter(|now| seldom.is_due_at(*now)).count(),
            3,
            "at once, after one minute, and after two"
        );
    }
}
