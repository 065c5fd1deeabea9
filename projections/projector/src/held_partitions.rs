//! The partitions of a projection that this instance holds, compared with its share by the current [`Assignment`].

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use crate::assignment::Assignment;
use crate::partition::Partition;

/// The set of partitions of a projection that this instance applies.
#[derive(Clone, Default)]
pub(crate) struct HeldPartitions {
    taken: Arc<Mutex<BTreeSet<Partition>>>,
    /// Workers acquire partitions one at a time, so that together they do not exceed the share.
    pub(crate) turn: Arc<tokio::sync::Mutex<()>>,
}

impl HeldPartitions {
    /// Whether this instance may take one more partition within its share.
    pub(crate) fn has_room(&self, assignment: &Assignment) -> bool {
        self.with(|taken| taken.len()) < assignment.share()
    }

    /// Whether a held partition is beyond this instance's share. Those with the highest numbers are given up first.
    pub(crate) fn is_over_share(&self, partition: Partition, assignment: &Assignment) -> bool {
        self.with(|taken| taken.iter().position(|one| *one == partition)).is_some_and(|at| at >= assignment.share())
    }

    /// Adds a partition to the set until the returned guard is dropped.
    pub(crate) fn take(&self, partition: Partition) -> HeldPartition {
        self.with(|taken| taken.insert(partition));
        HeldPartition { all: self.clone(), partition }
    }

    fn with<T>(&self, f: impl FnOnce(&mut BTreeSet<Partition>) -> T) -> T {
        f(&mut self.taken.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A guard for a partition that this instance applies.
pub(crate) struct HeldPartition {
    all: HeldPartitions,
    partition: Partition,
}

impl Drop for HeldPartition {
    fn drop(&mut self) {
        self.all.with(|taken| taken.remove(&self.partition));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assignment(partitions: usize, instances: u32) -> Assignment {
        Assignment { version: Some(1), taken: vec![false; partitions], instances }
    }

    #[test]
    fn an_instance_takes_its_share_and_gives_the_last_ones_to_others() {
        let held = HeldPartitions::default();
        let taken: Vec<HeldPartition> = Partition::all(4).map(|partition| held.take(partition)).collect();
        let beyond = |instances| {
            let assignment = assignment(4, instances);
            Partition::all(4)
                .filter(|partition| held.is_over_share(*partition, &assignment))
                .map(Partition::number)
                .collect::<Vec<_>>()
        };
        assert_eq!(beyond(1), Vec::<u32>::new());
        assert_eq!(beyond(2), [2, 3]);
        assert_eq!(beyond(4), [1, 2, 3]);
        // More instances than partitions: some have nothing.
        assert_eq!(beyond(9), [1, 2, 3]);
        assert!(!held.has_room(&assignment(4, 1)));
        drop(taken);
        assert!(held.has_room(&assignment(4, 9)) && held.has_room(&assignment(1, 3)));
    }
}
