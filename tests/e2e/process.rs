//! A running `inopsio serve`.

use std::future::ready;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use serde_json::Value;
use testbed::eventually;

/// A running `inopsio serve`. It is killed on drop.
pub struct Serve {
    child: Child,
    log: PathBuf,
    /// Its base URL; each start uses another port.
    pub url: String,
}

impl Serve {
    /// Starts it with its log in a file, and waits until it serves.
    pub async fn start(mut command: Command, log: &Path) -> Self {
        let stderr = std::fs::File::create(log).unwrap();
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr).spawn().unwrap();
        let mut serve = Self { child, log: log.to_owned(), url: String::new() };
        let address = eventually("inopsio serves", || {
            if let Some(status) = serve.child.try_wait().unwrap() {
                panic!("inopsio serve ended ({status}):\n{}", serve.log());
            }
            ready(address(&serve.log()))
        });
        serve.url = format!("http://{}", address.await);
        serve
    }

    /// The contents of its log.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Kills it (SIGKILL).
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([format!("-{signal}"), self.child.id().to_string()]).status();
        assert!(sent.unwrap().success());
    }

    /// Sends SIGTERM and waits for its end.
    pub async fn stop(mut self) -> ExitStatus {
        self.signal("TERM");
        eventually("inopsio stops", || ready(self.child.try_wait().unwrap())).await
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The address in the log line that reports that it is serving; none if there is none yet.
fn address(log: &str) -> Option<String> {
    log.lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find_map(|line| Some(line["address"].as_str()?.to_owned()))
}
