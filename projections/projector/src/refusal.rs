//! What callers are told when the read models can't be read, or are behind.

use std::fmt::Display;

use kernel::{Refusal, Service};

use crate::CatchUpTimeout;

/// The refusal for a failed read of a service's read models. Logs the error, for operators.
pub fn read_models_unreadable(service: Service, error: &dyn Display) -> Refusal {
    tracing::warn!(%service, %error, "the read models can't be read");
    Refusal::unavailable("read_models_unavailable", "the read models do not answer; try again")
}

/// The refusal when the read models did not reach a position in time. `detail` says what that prevents.
pub fn read_models_behind(behind: CatchUpTimeout, detail: impl Into<String>) -> Refusal {
    Refusal::timeout("read_model_behind", detail).with("wanted", behind.wanted.0).with("reached", behind.reached.0)
}
