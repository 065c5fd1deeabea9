//! The current positions of this process's workers, including those that are not stored yet.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use kernel::Position;
use uuid::Uuid;

/// Positions by endpoint.
#[derive(Clone, Default)]
pub(crate) struct Positions(Arc<Mutex<HashMap<Uuid, Position>>>);

impl Positions {
    pub(crate) fn set(&self, endpoint: Uuid, position: Position) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(endpoint, position);
    }

    pub(crate) fn remove(&self, endpoint: Uuid) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&endpoint);
    }

    /// The position of an endpoint, if this process runs its worker.
    pub(crate) fn of(&self, endpoint: Uuid) -> Option<Position> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&endpoint).copied()
    }
}
