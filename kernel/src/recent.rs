//! A bounded in-memory list of the most recent items, for display (such as the mails that a development server caught).

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// The number of items that are kept; the oldest is dropped first.
const KEPT: usize = 200;

/// The 200 most recent items, without duplicates. Clones share the list.
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
    /// Adds an item, unless `is_same` is true for one that is already in the list.
    pub fn keep(&self, one: &T, is_same: impl Fn(&T) -> bool) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !kept.iter().any(is_same) {
            kept.push_back(one.clone());
        }
        if kept.len() > KEPT {
            kept.pop_front();
        }
    }

    /// The items, newest first.
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
