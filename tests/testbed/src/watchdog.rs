//! Ends a server when its test ends, even if the test is killed.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A shell process that waits until the test closes its pipe (or dies), and then kills the server and removes its directory.
pub(crate) struct Watchdog(Child);

impl Watchdog {
    /// Starts a watchdog for the process `pid`, whose data is in `dir`.
    pub(crate) fn new(pid: u32, dir: &Path) -> Self {
        let shell = Command::new("sh")
            .args(["-c", r#"cat >/dev/null; kill -9 "$0" 2>/dev/null; for i in 1 2 3 4 5; do rm -rf "$1" && break; sleep 1; done"#])
            .arg(pid.to_string())
            .arg(dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // A separate process group, so that a signal to the test's group does not kill the watchdog.
            .process_group(0)
            .spawn()
            .expect("sh starts");
        Self(shell)
    }

    /// Ends the watchdog without killing the server.
    pub(crate) fn dismiss(mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }

    /// Kills the server, removes the directory, and waits until that is done.
    pub(crate) fn kill_server(mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}
