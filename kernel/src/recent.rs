//! The last of what happened, in memory: for somebody to look at.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// How many are kept; the oldest goes first.
const KEPT: usize = 200;

/// The last 200 of something, each once. Cheap to clone.
#[derive(Debug)]
pub struct Recent<T>(Arc<Mutex<VecDeque<T>>>);

impl<T> Clone for Recent<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T: Clone> Recent<T> {
    /// Keeps one, unless one is there already that is the same.
    pub fn keep(&self, one: &T, is_same: impl Fn(&T) -> bool) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !kept.iter().any(is_same) {
            kept.push_back(one.clone());
        }
        if kept.len() > KEPT {
            kept.pop_front();
        }
    }

    /// What is kept, the last first.
    pub fn all(&self) -> Vec<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().rev().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ones_are_kept_each_once() {
        let recent = Recent::default();
        for number in (0..KEPT + 5).chain([KEPT]) {
            recent.clone().keep(&number, |kept| *kept == number);
        }
        assert_eq!(recent.all(), (5..KEPT + 5).rev().collect::<Vec<_>>());
    }
}
