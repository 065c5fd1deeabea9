//! Late binding, for values that don't exist yet when their users are created.

use std::sync::OnceLock;
use std::time::Duration;

use tokio::sync::Notify;

/// A value that is bound once. Sagas and services are created with their ports before the logs and keys are open that these ports need.
/// Until the value is bound, its port refuses as unavailable.
pub struct Late<T> {
    value: OnceLock<T>,
    /// Wakes those who wait for it.
    bound: Notify,
}

impl<T> Default for Late<T> {
    /// Not bound yet.
    fn default() -> Self {
        Self { value: OnceLock::new(), bound: Notify::new() }
    }
}

impl<T> Late<T> {
    /// Binds the value. A second value is ignored, because within a process it would be the same.
    pub fn bind(&self, value: T) {
        _ = self.value.set(value);
        self.bound.notify_waiters();
    }

    /// The value, if it is bound.
    pub fn get(&self) -> Option<&T> {
        self.value.get()
    }

    /// The value as soon as it is bound; none if that takes longer than `patience`. For background work, which may begin before the process
    /// has started completely.
    pub async fn within(&self, patience: Duration) -> Option<&T> {
        // Created before the look, so that it notices a value that is bound after it.
        let bound = self.bound.notified();
        if self.get().is_none() {
            _ = tokio::time::timeout(patience, bound).await;
        }
        self.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_waits_is_given_the_value_as_soon_as_it_is_bound() {
        let (late, patience) = (Late::<u8>::default(), Duration::from_secs(1));
        assert_eq!(late.within(patience).await, None);
        let (found, ()) = tokio::join!(late.within(patience), async { late.bind(7) });
        assert_eq!((found, late.within(patience).await), (Some(&7), Some(&7)));
    }
}
