//! Runs a service's projections.

use std::collections::BTreeSet;
use std::sync::Arc;

use eventstore::{Database, EventStore};
use kernel::Service;
use nats::Bus;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::assignment::AssignmentWatcher;
use crate::partition_workers::PartitionWorkers;
use crate::progress::ProgressWriter;
use crate::{Progress, Projection, Settings, feed};

/// Applies a service's projections. Of all instances that run, only one applies a given partition of a projection at a time.
pub struct Projector {
    database: Database,
    store: EventStore,
    bus: Bus,
    service: Service,
    projections: Vec<Arc<dyn Projection>>,
    settings: Settings,
    progress: ProgressWriter,
}

impl Projector {
    /// Creates a projector. It does nothing before [`run`](Self::run).
    pub fn new(
        database: &Database,
        store: EventStore,
        bus: Bus,
        service: Service,
        projections: Vec<Arc<dyn Projection>>,
        settings: Settings,
    ) -> Self {
        let progress = ProgressWriter::new(projections.iter().map(|projection| projection.name()).collect());
        Self { database: database.clone(), store, bus, service, projections, settings, progress }
    }

    /// The positions that this process's projections have reached.
    pub fn progress(&self) -> Progress {
        self.progress.reader()
    }

    /// Applies events until `shutdown`; a batch that is being applied is finished.
    ///
    /// Neither the bus nor the database needs to be available: without the bus the log is read, and for the database it waits.
    pub async fn run(self, shutdown: CancellationToken) {
        let (sender, _) = broadcast::channel(self.settings.buffered_batches.max(1));
        let (decided, _) = watch::channel(());
        let mut tasks = JoinSet::new();
        let watcher = AssignmentWatcher::new(&self.database, self.projections.clone(), self.settings.stand_by);
        for (index, projection) in self.projections.into_iter().enumerate() {
            let workers = PartitionWorkers {
                database: self.database.clone(),
                store: self.store.clone(),
                projection,
                index,
                progress: self.progress.clone(),
                feed: sender.clone(),
                decided: decided.subscribe(),
                assignments: watcher.assignments(),
                settings: self.settings,
            };
            tasks.spawn(workers.run(shutdown.clone()));
        }
        tasks.spawn(watcher.run(shutdown.clone()));
        tasks.spawn(measure(self.progress, self.store.clone(), shutdown.clone()));
        tasks.spawn(deadletters::forward_decisions(self.bus.clone(), self.service, decided, shutdown.clone()));
        tasks.spawn(feed::run(self.bus, self.store, self.service, sender, shutdown));
        while tasks.join_next().await.is_some() {}
    }
}

/// Updates the lag gauges every second, also for projections that stand still because they fail.
async fn measure(progress: ProgressWriter, store: EventStore, shutdown: CancellationToken) {
    let service = store.service().name();
    let measuring = async {
        let mut ticks = tokio::time::interval(std::time::Duration::from_secs(1));
        let mut shown = BTreeSet::new();
        let show = |projection, partition, lag: u64| {
            let labels = crate::worker::labels(service, projection, partition);
            metrics::gauge!("inopsio_projection_lag_events", labels).set(lag as f64);
        };
        loop {
            ticks.tick().await;
            // Without the database the head is unknown, so the lag is too.
            let Ok(head) = store.head().await else { continue };
            let applied = progress.applied();
            let now: BTreeSet<_> = applied.iter().map(|(projection, partition, _)| (*projection, *partition)).collect();
            // Another instance reports the lag of these partitions from now on. Our gauges would keep their last values for ever.
            for (projection, partition) in shown.difference(&now) {
                show(*projection, *partition, 0);
            }
            for (projection, partition, position) in applied {
                show(projection, partition, head.0.saturating_sub(position.0));
            }
            shown = now;
        }
    };
    shutdown.run_until_cancelled(measuring).await;
}
