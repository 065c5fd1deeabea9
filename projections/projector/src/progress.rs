//! How far the projections of this process are, without asking the database.

use std::sync::Arc;

use kernel::{Position, TenantId};
use tokio::sync::watch;

use crate::partition::Partition;

/// How far one partition of a projection is in this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PartitionProgress {
    /// Everything up to here is visible to queries.
    pub(crate) position: Position,
    /// Whether this process is the one that applies. If not, only the database knows how far the projection is.
    pub(crate) active: bool,
    /// Whether applying it here failed and was not taken up again since.
    pub(crate) failing: bool,
}

/// Of each projection its partitions.
type Partitions = Vec<Vec<PartitionProgress>>;

/// How far this process's projections are. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Progress {
    names: Arc<[&'static str]>,
    partitions: watch::Receiver<Partitions>,
}

impl Progress {
    /// The position that every projection has reached for a tenant; `None` while another process applies the tenant's events to
    /// one of them, or none does.
    pub fn reached(&self, tenant: TenantId) -> Option<Position> {
        let of_tenant = |partitions: &Vec<PartitionProgress>| {
            let partition = partitions[Partition::of_tenant(tenant.uuid(), partitions.len() as u32).index()];
            partition.active.then_some(partition.position)
        };
        self.partitions.borrow().iter().map(of_tenant).min().flatten()
    }

    /// Where a partition of a projection is; `None` while this process does not apply it.
    pub(crate) fn of(&self, projection: &str, partition: Partition) -> Option<Position> {
        self.find(projection, partition).filter(|known| known.active).map(|known| known.position)
    }

    /// Whether applying a partition fails here, again and again, for reasons that are not about single events.
    pub(crate) fn failing(&self, projection: &str, partition: Partition) -> bool {
        self.find(projection, partition).is_some_and(|known| known.failing)
    }

    fn find(&self, projection: &str, partition: Partition) -> Option<PartitionProgress> {
        let at = self.names.iter().position(|name| *name == projection)?;
        let all = self.partitions.borrow();
        let partitions = all.get(at).filter(|partitions| partitions.len() == partition.of() as usize)?;
        partitions.get(partition.index()).copied()
    }

    /// Returns after the next change. Never, once the projector has ended.
    pub(crate) async fn changed(&mut self) {
        if self.partitions.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Where workers write down how far they are.
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

    /// Makes room for the partitions of the `index`th projection, of which none is applied yet.
    pub(crate) fn divide(&self, index: usize, partitions: u32) {
        self.partitions.send_modify(|all| {
            if let Some(known) = all.get_mut(index) {
                *known = vec![PartitionProgress::default(); partitions as usize];
            }
        });
    }

    /// Writes down how far a partition of the `index`th projection is.
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

    /// A partition of the `index`th projection is not applied here for now; where it was stays known.
    pub(crate) fn stop(&self, index: usize, partition: Partition, failing: bool) {
        let all = self.partitions.borrow();
        let known = all.get(index).and_then(|partitions| partitions.get(partition.index())).copied();
        drop(all);
        self.set(index, partition, PartitionProgress { active: false, failing, ..known.unwrap_or_default() });
    }

    /// The partitions that are, or until a failure were, applied here, with the position that they reached.
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
