//! How far the projections of this process are, without asking the database.

use tokio::sync::watch;

/// Where this process's projections stand. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Progress {
    pub(crate) states: watch::Receiver<()>,
}
