//! The positions that this process's projections have reached, kept in memory so that queries can wait without asking the database.

use std::sync::Arc;

use kernel::{Position, TenantId};
use tokio::sync::watch;

use crate::partition::Partition;

/// The progress of one partition of a projection in this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PartitionProgress {
    /// The events up to this position are visible to queries.
    pub(crate) position: Position,
    /// The checkpoint that is stored with the rows. It is before `position` while later events change nothing in the tables.
    pub(crate) checkpoint: Position,
    /// Whether this process applies the partition. If not, only its checkpoint in the database tells its position.
    pub(crate) active: bool,
    /// Whether applying failed in this process, and has not been resumed since.
    pub(crate) failing: bool,
}

/// The partitions of each projection, by its index.
type Partitions = Vec<Vec<PartitionProgress>>;

/// The positions that this process's projections have reached. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Progress {
    names: Arc<[&'static str]>,
    partitions: watch::Receiver<Partitions>,
}

impl Progress {
    /// The position that every projection has reached for a tenant. `None` while this process does not apply the tenant's partition of each
    /// projection.
    pub fn reached(&self, tenant: TenantId) -> Option<Position> {
        let of_tenant = |partitions: &Vec<PartitionProgress>| {
            let partition = partitions[Partition::of_tenant(tenant.uuid(), partitions.len() as u32).index()];
            partition.active.then_some(partition.position)
        };
        self.partitions.borrow().iter().map(of_tenant).min().flatten()
    }

    /// The checkpoint of each projection's partition of a tenant. `None` until all events up to `position` are visible here.
    pub(crate) fn checkpoints_at(&self, tenant: TenantId, position: Position) -> Option<Vec<(&'static str, Position)>> {
        let of_tenant = |(name, partitions): (&&'static str, &Vec<PartitionProgress>)| {
            let partition = partitions[Partition::of_tenant(tenant.uuid(), partitions.len() as u32).index()];
            (partition.active && partition.position >= position).then_some((*name, partition.checkpoint))
        };
        self.names.iter().zip(self.partitions.borrow().iter()).map(of_tenant).collect()
    }

    /// The position of a partition of a projection; `None` while this process does not apply it.
    pub(crate) fn of(&self, projection: &str, partition: Partition) -> Option<Position> {
        self.find(projection, partition).filter(|known| known.active).map(|known| known.position)
    }

    /// Whether applying a partition fails in this process for a reason that is not a single event.
    pub(crate) fn failing(&self, projection: &str, partition: Partition) -> bool {
        self.find(projection, partition).is_some_and(|known| known.failing)
    }

    fn find(&self, projection: &str, partition: Partition) -> Option<PartitionProgress> {
        let at = self.names.iter().position(|name| *name == projection)?;
        let all = self.partitions.borrow();
        let partitions = all.get(at).filter(|partitions| partitions.len() == partition.of() as usize)?;
        partitions.get(partition.index()).copied()
    }

    /// Waits for the next change. Once the projector has ended it never returns.
    pub(crate) async fn changed(&mut self) {
        if self.partitions.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// The sending side of [`Progress`]: workers record their positions here.
#[derive(Clone, Debug)]
pub(crate) struct ProgressWriter {
    names: Arc<[&'static str]>,
    partitions: Arc<watch::Sender<Partitions>>,
}

impl ProgressWriter {
    pub(crate) fn new(names: Vec<&'static str>) -> Self {
        let (sender, _) = watch::channel(vec![vec![PartitionProgress::default()]; names.len()]);
        Self { names: names.into(), partitions: Arc::new(sender) }
    }

    pub(crate) fn reader(&self) -> Progress {
        Progress { names: Arc::clone(&self.names), partitions: self.partitions.subscribe() }
    }

    /// Sets the number of partitions of the `index`th projection; none is applied yet.
    pub(crate) fn divide(&self, index: usize, partitions: u32) {
        self.partitions.send_modify(|all| {
            if let Some(known) = all.get_mut(index) {
                *known = vec![PartitionProgress::default(); partitions as usize];
            }
        });
    }

    /// Records the progress of a partition of the `index`th projection.
    pub(crate) fn set(&self, index: usize, partition: Partition, progress: PartitionProgress) {
        self.partitions.send_if_modified(|all| {
            match all.get_mut(index).and_then(|partitions| partitions.get_mut(partition.index())) {
                Some(known) if *known != progress => {
                    *known = progress;
                    true
                }
                _ => false,
            }
        });
    }

    /// Records that a partition of the `index`th projection is no longer applied here. Its last position is kept.
    pub(crate) fn stop(&self, index: usize, partition: Partition, failing: bool) {
        let all = self.partitions.borrow();
        let known = all.get(index).and_then(|partitions| partitions.get(partition.index())).copied();
        drop(all);
        self.set(index, partition, PartitionProgress { active: false, failing, ..known.unwrap_or_default() });
    }

    /// The partitions that are applied here, or were until a failure, with their positions.
    pub(crate) fn applied(&self) -> Vec<(&'static str, Partition, Position)> {
        let all = self.partitions.borrow();
        let mut applied = Vec::new();
        for (name, partitions) in self.names.iter().zip(all.iter()) {
            for (partition, known) in Partition::all(partitions.len() as u32).zip(partitions) {
                if known.active || known.position > Position::START {
                    applied.push((*name, partition, known.position));
                }
            }
        }
        applied
    }
}
