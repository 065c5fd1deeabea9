//! Starts a server for the demo if none is running: `inopsio dev` as a child process.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use crate::context::{Context, Place};
use crate::dev::home::Home;
use crate::dev::lock;
use crate::output::{self, Format};

/// How long the start may take. The first start creates the databases.
const READY: Duration = Duration::from_mins(2);

/// How long stopping may take.
const STOP: Duration = Duration::from_mins(1);

/// A server that was started for the demo.
pub struct Started(Child);

/// Starts a development environment unless another server is configured or one is already running. It has no rate limits, so that the load
/// is not slowed down.
pub fn start_unless_running(place: &Place) -> Result<Option<Started>> {
    if !place.is_private() || lock::holder(&Home::at(&place.home)?).is_some() {
        return Ok(None);
    }
    output::tell("no server is running: starting `inopsio dev` for the demo");
    let child = Command::new(std::env::current_exe().context("where this program is")?)
        .arg("--home")
        .arg(&place.home)
        .arg("dev")
        .envs([("INOPSIO_RATE_TENANT", "0"), ("INOPSIO_RATE_TOKEN", "0"), ("INOPSIO_LOG", "warn")])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        // A process group of its own: Ctrl-C must not reach it directly, because we stop it ourselves.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .context("`inopsio dev` can't be started")?;
    Ok(Some(Started(child)))
}

/// Whether the configured server's `/ready` answers with success.
async fn is_ready(place: &Place) -> bool {
    // The configuration file does not exist before the first start.
    let Ok(context) = Context::load(place, Vec::new(), Format::Text) else { return false };
    let answer = reqwest::get(format!("http://{}/ready", context.config.http.address())).await;
    answer.is_ok_and(|answer| answer.status().is_success())
}

impl Started {
    /// Waits until the server is ready.
    pub async fn ready(&mut self, place: &Place) -> Result<()> {
        let deadline = Instant::now() + READY;
        while !is_ready(place).await {
            if let Some(status) = self.0.try_wait()? {
                bail!("`inopsio dev` ended ({status})");
            }
            ensure!(Instant::now() < deadline, "`inopsio dev` is not ready after {READY:?}");
            sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// Sends SIGINT and waits for the end of the process.
    pub async fn stop(mut self) -> Result<()> {
        if let Some(pid) = self.0.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?)) {
            kill_process(pid, Signal::INT).context("`inopsio dev` can't be stopped")?;
        }
        let status = timeout(STOP, self.0.wait()).await.context("`inopsio dev` does not stop")??;
        ensure!(status.success(), "`inopsio dev` ended with {status}");
        Ok(())
    }
}
