//! [`Seldom`]: how often the log says that something still does not work.

use std::time::{Duration, Instant};

/// The time between two complaints about the same thing.
const PAUSE: Duration = Duration::from_mins(1);

/// Lets one complaint a minute through, about something that is tried again several times a second.
#[derive(Debug, Default)]
pub(crate) struct Seldom(Option<Instant>);

impl Seldom {
    /// Whether to complain now.
    pub(crate) fn is_due(&mut self) -> bool {
        self.is_due_at(Instant::now())
    }

    fn is_due_at(&mut self, now: Instant) -> bool {
        let is_due = self.0.is_none_or(|last| now.duration_since(last) >= PAUSE);
        if is_due {
            self.0 = Some(now);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_again_and_again_is_said_once_a_minute() {
        let (mut seldom, start) = (Seldom::default(), Instant::now());
        let attempts = (0..300).map(|nth| start + nth * Duration::from_millis(500));
        assert_eq!(
            attempts.filter(|now| seldom.is_due_at(*now)).count(),
            3,
            "at once, after one minute, and after two"
        );
    }
}
