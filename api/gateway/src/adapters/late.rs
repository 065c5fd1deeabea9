//! Late binding: a value for those who are made before it.

use std::sync::OnceLock;

/// A value that is bound once. Sagas are defined and services opened with their ports before the logs and the keys are open that these
/// ports ask; until one is bound, its port answers that it can't be asked here.
pub struct Late<T>(OnceLock<T>);

impl<T> Default for Late<T> {
    /// Not bound yet.
    fn default() -> Self {
        Self(OnceLock::new())
    }
}

impl<T> Late<T> {
    /// Binds it. A later value is ignored: within a process it would be the same.
    pub fn bind(&self, value: T) {
        _ = self.0.set(value);
    }

    /// The value, if it is bound.
    pub fn get(&self) -> Option<&T> {
        self.0.get()
    }
}
