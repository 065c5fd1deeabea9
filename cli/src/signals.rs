//! Handles the signals that stop the program.

use std::future::Future;

use anyhow::{Context, Result};
use tokio::signal::unix::{SignalKind, signal};

/// A future that completes at the first SIGINT, SIGTERM or SIGHUP. The handlers are installed by the call, not by the first poll.
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
