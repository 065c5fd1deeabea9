//! [`Epoch`]: counts how often a log may have lost its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The epoch of a log in this process. It ends when the log may have lost its end: a server took over that lacked it, or the log was
/// restored. Whoever keeps in memory what was read from the log also keeps the epoch from before the read, and does not use it in a later
/// one. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Epoch(Arc<AtomicU64>);

impl Epoch {
    pub(crate) fn current(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    pub(crate) fn end(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}
