//! Runs a service's projections.

use std::collections::BTreeSet;
use std::sync::Arc;

use eventstore::{Database, EventStore};
use kernel::Service;
use nats::Bus;
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;

use crate::assignment::AssignmentWatcher;
use crate::partition_workers::PartitionWorkers;
use crate::progress::ProgressWriter;
use crate::task::Tasks;
use crate::{Progress, Projection, Settings, feed};

/// Applies a service's projections. Of all instances that run, only one applies a given partition of a projection at a time.
/// Clones share the progress.
#[derive(Clone)]
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
        let Self { database, store, bus, service, projections, settings, progress } = self;
        let (sender, _) = broadcast::channel(settings.buffered_batches.max(1));
        let (decided, _) = watch::channel(());
        let watcher = AssignmentWatcher::new(&database, projections.clone(), settings.stand_by);
        let mut tasks = Tasks::new(service, shutdown);
        for (index, projection) in projections.into_iter().enumerate() {
            let name = projection.name();
            let workers = PartitionWorkers {
                database: database.clone(),
                store: store.clone(),
                projection,
                index,
                progress: progress.clone(),
                feed: sender.clone(),
                decided: decided.subscribe(),
                assignments: watcher.assignments(),
                settings,
            };
            tasks.spawn(name, move |shutdown| workers.clone().run(shutdown));
        }
        tasks.spawn("assignments", move |shutdown| watcher.clone().run(shutdown));
        let measured = store.clone();
        tasks.spawn("lag", move |shutdown| measure(progress.clone(), measured.clone(), shutdown));
        let decisions = bus.clone();
        tasks.spawn("decisions", move |shutdown| {
            deadletters::forward_decisions(decisions.clone(), service, decided.clone(), shutdown)
        });
        tasks.spawn("feed", move |shutdown| feed::run(bus.clone(), store.clone(), service, sender.clone(), shutdown));
        tasks.ended().await;
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
