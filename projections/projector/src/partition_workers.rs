//! The workers of one projection: one for each of its partitions. Each instance runs all of them, and applies only its share of the
//! partitions ([`held_partitions`](crate::held_partitions)).

use std::sync::Arc;

use eventstore::{Database, EventStore};
use tokio::sync::{broadcast, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::assignment::{Assignment, Assignments};
use crate::feed::Batch;
use crate::held_partitions::HeldPartitions;
use crate::partition::Partition;
use crate::progress::ProgressWriter;
use crate::worker::Worker;
use crate::{Projection, Settings};

#[derive(Clone)]
pub(crate) struct PartitionWorkers {
    pub(crate) database: Database,
    pub(crate) store: EventStore,
    pub(crate) projection: Arc<dyn Projection>,
    /// The projection's index in the program's list.
    pub(crate) index: usize,
    pub(crate) progress: ProgressWriter,
    pub(crate) feed: broadcast::Sender<Batch>,
    /// Changes when an operator has decided about a dead letter.
    pub(crate) decided: watch::Receiver<()>,
    pub(crate) assignments: watch::Receiver<Assignments>,
    pub(crate) settings: Settings,
}

impl PartitionWorkers {
    /// Runs one worker for each partition until `shutdown`. When the number of partitions changes, it stops them and starts new ones.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) {
        let mut partitions = 1;
        while !shutdown.is_cancelled() {
            self.progress.divide(self.index, partitions);
            let stop = shutdown.child_token();
            let held = HeldPartitions::default();
            let mut workers = JoinSet::new();
            for partition in Partition::all(partitions) {
                workers.spawn(self.worker(partition, &held).run(stop.clone()));
            }
            partitions = shutdown.run_until_cancelled(self.divided(partitions)).await.unwrap_or(partitions);
            stop.cancel();
            while workers.join_next().await.is_some() {}
        }
    }

    fn worker(&self, partition: Partition, held: &HeldPartitions) -> Worker {
        Worker {
            database: self.database.clone(),
            store: self.store.clone(),
            projection: self.projection.clone(),
            index: self.index,
            partition,
            held: held.clone(),
            assignments: self.assignments.clone(),
            progress: self.progress.clone(),
            feed: self.feed.subscribe(),
            decided: self.decided.clone(),
            settings: self.settings,
        }
    }

    /// Waits until the number of partitions differs from `partitions`, and returns the new number.
    async fn divided(&mut self, partitions: u32) -> u32 {
        loop {
            let found = self.assignments.borrow_and_update().get(self.index).map_or(0, Assignment::partitions);
            if found != 0 && found != partitions {
                tracing::info!(
                    projection = self.projection.name(),
                    partitions = found,
                    "the projection is divided anew"
                );
                return found;
            }
            if self.assignments.changed().await.is_err() {
                // The watcher ends only with the process.
                std::future::pending::<()>().await;
            }
        }
    }
}
