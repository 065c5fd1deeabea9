//! The workers of one projection: one for each of its partitions, of which this instance applies its share.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use eventstore::{Database, EventStore};
use tokio::sync::{broadcast, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::fan::Batch;
use crate::partition::Partition;
use crate::progress::ProgressWriter;
use crate::roster::{Entries, Entry};
use crate::worker::Worker;
use crate::{Projection, Settings};

pub(crate) struct Crew {
    pub(crate) database: Database,
    pub(crate) store: EventStore,
    pub(crate) projection: Arc<dyn Projection>,
    /// The projection's place in the program's list.
    pub(crate) index: usize,
    pub(crate) progress: ProgressWriter,
    pub(crate) feed: broadcast::Sender<Batch>,
    /// Changes when somebody decided about a dead letter.
    pub(crate) decided: watch::Receiver<()>,
    pub(crate) entries: watch::Receiver<Entries>,
    pub(crate) settings: Settings,
}

impl Crew {
    /// Works until `shutdown`, with as many workers as there are partitions; with others when their number changes.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) {
        let mut partitions = 1;
        while !shutdown.is_cancelled() {
            self.progress.divide(self.index, partitions);
            let stop = shutdown.child_token();
            let seats = Seats::default();
            let mut workers = JoinSet::new();
            for partition in Partition::all(partitions) {
                workers.spawn(self.worker(partition, &seats).run(stop.clone()));
            }
            partitions = shutdown.run_until_cancelled(self.divided(partitions)).await.unwrap_or(partitions);
            stop.cancel();
            while workers.join_next().await.is_some() {}
        }
    }

    fn worker(&self, partition: Partition, seats: &Seats) -> Worker {
        Worker {
            database: self.database.clone(),
            store: self.store.clone(),
            projection: self.projection.clone(),
            index: self.index,
            partition,
            seats: seats.clone(),
            entries: self.entries.clone(),
            progress: self.progress.clone(),
            feed: self.feed.subscribe(),
            decided: self.decided.clone(),
            settings: self.settings,
        }
    }

    /// Waits until the projection has another number of partitions.
    async fn divided(&mut self, partitions: u32) -> u32 {
        loop {
            let found = self.entries.borrow_and_update().get(self.index).map_or(0, Entry::partitions);
            if found != 0 && found != partitions {
                tracing::info!(
                    projection = self.projection.name(),
                    partitions = found,
                    "the projection is divided anew"
                );
                return found;
            }
            if self.entries.changed().await.is_err() {
                // The roster ends only with the process.
                std::future::pending::<()>().await;
            }
        }
    }
}

/// Which partitions of a projection this instance applies.
#[derive(Clone, Default)]
pub(crate) struct Seats {
    taken: Arc<Mutex<BTreeSet<Partition>>>,
    /// Workers ask for a partition one after another, so that they don't take more than their share together.
    pub(crate) turn: Arc<tokio::sync::Mutex<()>>,
}

impl Seats {
    /// Whether another partition would still be within this instance's share.
    pub(crate) fn has_room(&self, entry: &Entry) -> bool {
        self.with(|taken| taken.len()) < entry.share()
    }

    /// Whether a partition is beyond this instance's share: the last ones are given to others first.
    pub(crate) fn is_beyond(&self, partition: Partition, entry: &Entry) -> bool {
        self.with(|taken| taken.iter().position(|one| *one == partition)).is_some_and(|at| at >= entry.share())
    }

    /// Takes a partition, until the seat is dropped.
    pub(crate) fn take(&self, partition: Partition) -> Seat {
        self.with(|taken| taken.insert(partition));
        Seat { seats: self.clone(), partition }
    }

    fn with<T>(&self, f: impl FnOnce(&mut BTreeSet<Partition>) -> T) -> T {
        f(&mut self.taken.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A partition that this instance applies.
pub(crate) struct Seat {
    seats: Seats,
    partition: Partition,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.with(|taken| taken.remove(&self.partition));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(partitions: usize, instances: u32) -> Entry {
        Entry { version: Some(1), taken: vec![false; partitions], instances }
    }

    #[test]
    fn an_instance_takes_its_share_and_gives_the_last_ones_to_others() {
        let seats = Seats::default();
        let held: Vec<Seat> = Partition::all(4).map(|partition| seats.take(partition)).collect();
        let beyond = |instances| {
            let entry = entry(4, instances);
            Partition::all(4)
                .filter(|partition| seats.is_beyond(*partition, &entry))
                .map(Partition::number)
                .collect::<Vec<_>>()
        };
        assert_eq!(beyond(1), Vec::<u32>::new());
        assert_eq!(beyond(2), [2, 3]);
        assert_eq!(beyond(4), [1, 2, 3]);
        // More instances than partitions: some have nothing.
        assert_eq!(beyond(9), [1, 2, 3]);
        assert!(!seats.has_room(&entry(4, 1)));
        drop(held);
        assert!(seats.has_room(&entry(4, 9)) && seats.has_room(&entry(1, 3)));
    }
}
