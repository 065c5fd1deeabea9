//! The process of a server under test.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

/// A server's process. It is killed on drop.
pub struct Child {
    process: tokio::process::Child,
    pid: u32,
}

impl Child {
    /// Starts a command. Its output goes to ours.
    pub fn start(command: &mut Command) -> anyhow::Result<Self> {
        let process = command.stdin(Stdio::null()).kill_on_drop(true).spawn().context("a server can't be started")?;
        let pid = process.id().context("a server ended at once")?;
        Ok(Self { process, pid })
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Kills the process (SIGKILL) and waits for its end.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.process.kill().await.context("a server can't be killed")
    }

    /// Waits at most 30 s for the line on standard output (which must be piped) that has the address.
    pub async fn address(&mut self, of: impl Fn(&str) -> Option<SocketAddr>) -> anyhow::Result<SocketAddr> {
        let stdout = self.process.stdout.take().context("stdout is not piped")?;
        let mut lines = BufReader::new(stdout).lines();
        let found = tokio::time::timeout(Duration::from_secs(30), async {
            while let Some(line) = lines.next_line().await? {
                if let Some(address) = of(&line) {
                    return Ok(address);
                }
            }
            anyhow::bail!("it ended")
        });
        let address = found.await.context("it did not say where it listens within 30 s")??;
        // Keep reading, so that further output does not fill the pipe and block the server.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(address)
    }
}
