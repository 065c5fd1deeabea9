//! What callers are told when the read models can't be read.

use std::fmt::Display;

use kernel::Refusal;

/// The refusal for a failed read of the read models. Logs the error.
pub fn read_models_unreadable(error: &dyn Display) -> Refusal {
    tracing::warn!(%error, "the read models can't be read");
    Refusal::unavailable("read_models_unavailable", "the read models do not answer; try again")
}
