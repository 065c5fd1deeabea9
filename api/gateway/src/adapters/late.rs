//! Late binding, for values that don't exist yet when their users are created.

use std::sync::OnceLock;

/// A value that is bound once. Sagas and services are created with their ports before the logs and keys are open that these ports need.
/// Until the value is bound, its port refuses as unavailable.
pub struct Late<T>(OnceLock<T>);

impl<T> Default for Late<T> {
    /// Not bound yet.
    fn default() -> Self {
        Self(OnceLock::new())
    }
}

impl<T> Late<T> {
    /// Binds the value. A second value is ignored, because within a process it would be the same.
    pub fn bind(&self, value: T) {
        _ = self.0.set(value);
    }

    /// The value, if it is bound.
    pub fn get(&self) -> Option<&T> {
        self.0.get()
    }
}
