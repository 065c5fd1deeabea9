//! How far the projections of this process are, without asking the database.

use std::sync::Arc;

use kernel::{Position, TenantId};
use tokio::sync::watch;

use crate::partition::Partition;

/// Where one partition of a projection stands in this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Everything up to here is visible to queries.
    pub(crate) position: Position,
    /// Whether this process is the one that applies. If not, only the database knows how far the projection is.
    pub(crate) active: bool,
    /// Whether applying it here failed and was not taken up again since.
    pub(crate) failing: bool,
}

/// Of each projection its partitions.
type Standings = Vec<Vec<Standing>>;

/// Where this process's projections stand. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Progress {
    names: Arc<[&'static str]>,
    standings: watch::Receiver<Standings>,
}

impl Progress {
    /// The position that every projection has reached for a tenant; `None` while another process applies the tenant's events to
    /// one of them, or none does.
    pub fn reached(&self, tenant: TenantId) -> Option<Position> {
        let standings = self.standings.borrow();
        let of_tenant = |partitions: &Vec<Standing>| {
            let standing = partitions[Partition::of_tenant(tenant.uuid(), partitions.len() as u32).index()];
            standing.active.then_some(standing.position)
        };
        standings.iter().map(of_tenant).min().flatten()
    }

    /// Where a partition of a projection is; `None` while this process does not apply it.
    pub(crate) fn of(&self, projection: &str, partition: Partition) -> Option<Position> {
        self.standing(projection, partition).filter(|standing| standing.active).map(|standing| standing.position)
    }

    /// Whether applying a partition fails here, again and again, for reasons that are not about single events.
    pub(crate) fn failing(&self, projection: &str, partition: Partition) -> bool {
        self.standing(projection, partition).is_some_and(|standing| standing.failing)
    }

    fn standing(&self, projection: &str, partition: Partition) -> Option<Standing> {
        let at = self.names.iter().position(|name| *name == projection)?;
        let standings = self.standings.borrow();
        let partitions = standings.get(at).filter(|partitions| partitions.len() == partition.of() as usize)?;
        partitions.get(partition.index()).copied()
    }

    /// Returns after the next change. Never, once the projector has ended.
    pub(crate) async fn changed(&mut self) {
        if self.standings.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Where workers write down how far they are.
#[derive(Clone, Debug)]
pub(crate) struct Board {
    names: Arc<[&'static str]>,
    standings: Arc<watch::Sender<Standings>>,
}

impl Board {
    pub(crate) fn new(names: Vec<&'static str>) -> Self {
        let (sender, _) = watch::channel(vec![vec![Standing::default()]; names.len()]);
        Self { names: names.into(), standings: Arc::new(sender) }
    }

    pub(crate) fn progress(&self) -> Progress {
        Progress { names: Arc::clone(&self.names), standings: self.standings.subscribe() }
    }

    /// Makes room for the partitions of the `index`th projection, of which none is applied yet.
    pub(crate) fn divide(&self, index: usize, partitions: u32) {
        self.standings.send_modify(|standings| {
            if let Some(known) = standings.get_mut(index) {
                *known = vec![Standing::default(); partitions as usize];
            }
        });
    }

    /// Writes down where a partition of the `index`th projection stands.
    pub(crate) fn set(&self, index: usize, partition: Partition, standing: Standing) {
        self.standings.send_if_modified(|standings| {
            match standings.get_mut(index).and_then(|known| known.get_mut(partition.index())) {
                Some(known) if *known != standing => {
                    *known = standing;
                    true
                }
                _ => false,
            }
        });
    }

    /// A partition of the `index`th projection is not applied here for now; where it was stays known.
    pub(crate) fn stop(&self, index: usize, partition: Partition, failing: bool) {
        let standings = self.standings.borrow();
        let known = standings.get(index).and_then(|known| known.get(partition.index())).copied();
        drop(standings);
        self.set(index, partition, Standing { active: false, failing, ..known.unwrap_or_default() });
    }

    /// The partitions that are, or until a failure were, applied here, with the position that they reached.
    pub(crate) fn applied(&self) -> Vec<(&'static str, Partition, Position)> {
        let standings = self.standings.borrow();
        let mut applied = Vec::new();
        for (name, partitions) in self.names.iter().zip(standings.iter()) {
            for (partition, standing) in Partition::all(partitions.len() as u32).zip(partitions) {
                if standing.active || standing.position > Position::START {
                    applied.push((*name, partition, standing.position));
                }
            }
        }
        applied
    }
}
