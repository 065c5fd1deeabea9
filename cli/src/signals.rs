//! Being asked to stop.

use std::future::Future;

use anyhow::{Context, Result};
use tokio::signal::unix::{SignalKind, signal};

/// Completes at the first Ctrl-C, SIGTERM or hang-up. They count from the call on, not only from the first await.
pub fn stop() -> Result<impl Future<Output = ()> + Send> {
    let listen = |kind| signal(kind).context("can't listen for signals");
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    let mut hang_up = listen(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hang_up.recv() => {}
        }
    })
}
