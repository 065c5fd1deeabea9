//! Child processes for servers. Each has its own process group, so that Ctrl-C reaches only us and we stop them in order.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use super::account::Account;

/// Polling interval of conditions that can only be polled.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// A running server. Without [`stop`](Self::stop), a drop only sends the stop signal and does not wait.
#[derive(Debug)]
pub struct Server {
    name: &'static str,
    child: Child,
    log: PathBuf,
    stop_signal: Signal,
}

impl Server {
    /// Starts `command` as `account` (`None`: our own) and appends its output to `log`. `stop_signal` is the signal that stops it.
    pub fn start(
        name: &'static str,
        mut command: Command,
        account: Option<&Account>,
        log: &Path,
        stop_signal: Signal,
    ) -> Result<Self> {
        let output = OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("can't open {}", log.display()))?;
        run_as(&mut command, account);
        command.process_group(0).stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let child = command.spawn().with_context(|| format!("can't start {name}"))?;
        Ok(Self { name, child, log: log.to_owned(), stop_signal })
    }

    /// Waits until `ready` returns true. Fails with the end of the log if the server ends first or `bound` passes.
    pub async fn ready(&mut self, bound: Duration, mut ready: impl AsyncFnMut(u32) -> bool) -> Result<()> {
        let deadline = Instant::now() + bound;
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!(
                    "{} did not start ({status}); the end of {}:\n{}",
                    self.name,
                    self.log.display(),
                    tail(&self.log)
                );
            }
            if ready(self.child.id().unwrap_or_default()).await {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!(
                    "{} is not ready after {bound:?}; the end of {}:\n{}",
                    self.name,
                    self.log.display(),
                    tail(&self.log)
                );
            }
            sleep(POLL_INTERVAL).await;
        }
    }

    /// Waits until the server ends unexpectedly. Returns a message with its status and the end of its log.
    pub async fn ended(&mut self) -> String {
        let status = match self.child.wait().await {
            Ok(status) => describe(status),
            Err(error) => error.to_string(),
        };
        format!("{} ended ({status}); the end of {}:\n{}", self.name, self.log.display(), tail(&self.log))
    }

    /// Sends the stop signal and waits. Kills the server if it has not ended within `bound`.
    pub async fn stop(mut self, bound: Duration) -> Result<()> {
        self.signal(self.stop_signal);
        if timeout(bound, self.child.wait()).await.is_err() {
            tracing::warn!(server = self.name, "did not stop within {bound:?}: killing it");
            self.child.kill().await.with_context(|| format!("can't kill {}", self.name))?;
        }
        Ok(())
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.child.id().and_then(as_pid) {
            let _ = kill_process(pid, signal); // it may have ended by itself
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.signal(self.stop_signal);
    }
}

/// Makes a command run as `account`, if one is given.
pub fn run_as(command: &mut Command, account: Option<&Account>) {
    if let Some(account) = account {
        command.uid(account.uid).gid(account.gid);
    }
}

/// Stops a server that a killed environment left running: the process in `pid_file`, but only if its command line contains `mark`, because
/// another process may have the same id by now.
pub async fn stop_orphan(name: &str, pid_file: &Path, mark: &Path, signal: Signal) -> Result<()> {
    let Ok(content) = std::fs::read_to_string(pid_file) else { return Ok(()) };
    let Some(pid) = content.lines().next().and_then(|line| line.trim().parse().ok()).and_then(as_pid) else {
        return Ok(());
    };
    if !command_line(pid).contains(&*mark.to_string_lossy()) {
        return Ok(());
    }
    tracing::info!(
        server = name,
        pid = pid.as_raw_nonzero().get(),
        "stopping a server that an earlier run left behind"
    );
    for (signal, bound) in [(signal, 20), (Signal::KILL, 10)] {
        let _ = kill_process(pid, signal);
        let deadline = Instant::now() + Duration::from_secs(bound);
        while Instant::now() < deadline {
            // A zombie that its parent has not reaped still accepts signals, but has an empty command line.
            if test_kill_process(pid).is_err() || command_line(pid).is_empty() {
                return Ok(());
            }
            sleep(POLL_INTERVAL).await;
        }
    }
    bail!("{name} of an earlier run (process {}) does not stop", pid.as_raw_nonzero())
}

/// Whether any process has `folder` as its working directory, as all processes of a Postgres server have their data folder. Always false
/// outside Linux.
pub fn is_working_folder(folder: &Path) -> bool {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    processes.filter_map(|process| std::fs::read_link(process.path().join("cwd")).ok()).any(|cwd| cwd == folder)
}

fn as_pid(pid: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(pid).ok()?)
}

fn command_line(pid: Pid) -> String {
    let pid = pid.as_raw_nonzero();
    if let Ok(bytes) = std::fs::read(format!("/proc/{pid}/cmdline")) {
        return String::from_utf8_lossy(&bytes).replace('\0', " ");
    }
    // Without /proc, as on macOS.
    std::process::Command::new("ps")
        .args(["-o", "command=", "-p", &pid.to_string()])
        .output()
        .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
        .unwrap_or_default()
}

fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match status.signal() {
        Some(9) => "killed with signal 9".to_owned(),
        _ => status.to_string(),
    }
}

/// The last lines of a log.
fn tail(log: &Path) -> String {
    const BYTES: u64 = 2_000;
    let read = || -> std::io::Result<String> {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(BYTES)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    read()
        .unwrap_or_default()
        .lines()
        .rev()
        .take(12)
        .collect::<Vec<_>>()
        .into_iter()
        .rev()
        .collect::<Vec<_>>()
        .join("\n")
}
