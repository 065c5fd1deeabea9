//! Runs a service's projections.

use std::sync::Arc;

use eventstore::{Database, EventStore};
use kernel::Service;
use nats::Bus;
use tokio_util::sync::CancellationToken;

use crate::{Progress, Projection, Settings};

/// A service's projections, fed.
pub struct Projector {}

impl Projector {
    /// Makes a projector; nothing happens before [`run`](Self::run).
    pub fn new(
        _database: &Database,
        _store: EventStore,
        _bus: Bus,
        _service: Service,
        _projections: Vec<Arc<dyn Projection>>,
        _settings: Settings,
    ) -> Self {
        todo!()
    }

    /// How far this process's projections are.
    pub fn progress(&self) -> Progress {
        todo!()
    }

    /// Applies events until `shutdown`; a batch that is being applied is finished.
    pub async fn run(self, _shutdown: CancellationToken) {}
}
