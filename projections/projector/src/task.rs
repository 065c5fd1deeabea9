//! The projector's background tasks. One that panics is started again, and the others go on meanwhile.

use eventstore::supervised;
use kernel::Service;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// A task's name in logs and metrics. The workers of a projection have the projection's.
pub(crate) fn name(service: Service, task: &str) -> String {
    format!("projections/{service}/{task}")
}

/// The tasks of a projector.
pub(crate) struct Tasks {
    service: Service,
    shutdown: CancellationToken,
    spawned: JoinSet<()>,
}

impl Tasks {
    /// None yet; each will run until `shutdown`.
    pub(crate) fn new(service: Service, shutdown: CancellationToken) -> Self {
        Self { service, shutdown, spawned: JoinSet::new() }
    }

    /// Starts a task.
    pub(crate) fn spawn<F>(&mut self, task: &str, start: impl FnMut(CancellationToken) -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.spawned.spawn(supervised(name(self.service, task), self.shutdown.clone(), start));
    }

    /// Waits until all have ended.
    pub(crate) async fn ended(mut self) {
        while self.spawned.join_next().await.is_some() {}
    }
}
