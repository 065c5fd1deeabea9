//! How far the projections of this process are, without asking the database.

use std::sync::Arc;

use kernel::Position;
use tokio::sync::watch;

/// Where one projection stands in this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Everything up to here is visible to queries.
    pub(crate) position: Position,
    /// Whether this process is the one that applies. If not, only the database knows how far the projection is.
    pub(crate) active: bool,
    /// Whether applying it here failed and was not taken up again since.
    pub(crate) failing: bool,
}

/// Where this process's projections stand. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Progress {
    names: Arc<[&'static str]>,
    standings: watch::Receiver<Vec<Standing>>,
}

impl Progress {
    /// The position that every projection has reached; `None` while another process applies one of them, or none does.
    pub fn reached(&self) -> Option<Position> {
        let standings = self.standings.borrow();
        standings.iter().map(|standing| standing.active.then_some(standing.position)).min().flatten()
    }

    /// Where a projection is; `None` while this process does not apply it.
    pub fn of(&self, projection: &str) -> Option<Position> {
        let at = self.names.iter().position(|name| *name == projection)?;
        let standing = *self.standings.borrow().get(at)?;
        standing.active.then_some(standing.position)
    }

    /// Whether applying a projection fails here, again and again, for reasons that are not about single events.
    pub fn failing(&self, projection: &str) -> bool {
        let at = self.names.iter().position(|name| *name == projection);
        at.and_then(|at| self.standings.borrow().get(at).copied()).is_some_and(|standing| standing.failing)
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
    standings: Arc<watch::Sender<Vec<Standing>>>,
}

impl Board {
    pub(crate) fn new(names: Vec<&'static str>) -> Self {
        let (sender, _) = watch::channel(vec![Standing::default(); names.len()]);
        Self { names: names.into(), standings: Arc::new(sender) }
    }

    pub(crate) fn progress(&self) -> Progress {
        Progress { names: Arc::clone(&self.names), standings: self.standings.subscribe() }
    }

    /// Writes down where the `index`th projection stands.
    pub(crate) fn set(&self, index: usize, standing: Standing) {
        self.standings.send_if_modified(|standings| match standings.get_mut(index) {
            Some(known) if *known != standing => {
                *known = standing;
                true
            }
            _ => false,
        });
    }

    /// The `index`th projection is not applied here for now; where it was stays known.
    pub(crate) fn stop(&self, index: usize, failing: bool) {
        let standing = self.standings.borrow().get(index).copied().unwrap_or_default();
        self.set(index, Standing { active: false, failing, ..standing });
    }

    /// The projections that are, or until a failure were, applied here, with the position that they reached.
    pub(crate) fn applied(&self) -> Vec<(&'static str, Position)> {
        let standings = self.standings.borrow();
        let known = self.names.iter().zip(standings.iter());
        known
            .filter(|(_, standing)| standing.active || standing.position > Position::START)
            .map(|(name, standing)| (*name, standing.position))
            .collect()
    }
}
