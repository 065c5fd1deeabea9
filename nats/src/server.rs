//! Configuration files of nats-server: for the private server of `inopsio dev` and of tests, and for the hub of a deployment.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// The largest message that the server accepts, in bytes: room for the largest event (256 KiB) with its headers, and more.
pub const MAX_PAYLOAD: usize = 1024 * 1024;

/// A nats-server with JetStream and one user.
#[derive(Clone)]
pub struct Server {
    /// Its name, unique in a cluster.
    pub name: String,
    /// The address for clients.
    pub listen: SocketAddr,
    /// The address of its HTTP endpoints `/healthz` and `/varz`; `None`: no endpoints.
    pub monitor: Option<SocketAddr>,
    /// The folder of JetStream's files.
    pub store_dir: PathBuf,
    /// The user's name.
    pub user: String,
    /// The user's password, or its bcrypt hash.
    pub password: String,
    /// How often files are synced to disk. After a power cut the stream is refilled from the log in Postgres, so there is no need to sync
    /// after each message, which costs 30 times as much.
    pub sync_interval: Duration,
    /// The file for its process id; `None`: no file.
    pub pid_file: Option<PathBuf>,
    /// The log file; `None`: standard error.
    pub log_file: Option<PathBuf>,
}

impl Server {
    /// A server without a cluster, with JetStream's files in `store_dir`.
    pub fn local(listen: SocketAddr, store_dir: PathBuf, user: impl Into<String>, password: impl Into<String>) -> Self {
        Self {
            name: "inopsio".to_owned(),
            listen,
            monitor: None,
            store_dir,
            user: user.into(),
            password: password.into(),
            sync_interval: Duration::from_secs(10),
            pid_file: None,
            log_file: None,
        }
    }

    /// The text of its configuration file. It contains the password, so only the file's owner should be able to read it.
    pub fn render(&self) -> String {
        let mut text = String::from("# Written by inopsio; changes are lost at the next start.\n");
        let mut line = |key: &str, value: &str| {
            // Writing into a string cannot fail.
            let _ = writeln!(text, "{key}: {value}");
        };
        line("server_name", &quote(&self.name));
        line("listen", &quote(&self.listen.to_string()));
        if let Some(monitor) = self.monitor {
            line("http", &quote(&monitor.to_string()));
        }
        line("max_payload", &MAX_PAYLOAD.to_string());
        // Enough that the server does not disconnect a reader that is slow for a moment: our feeds request a bounded number of messages.
        line("max_pending", "64MB");
        line("write_deadline", &quote("10s"));
        if let Some(file) = &self.pid_file {
            line("pid_file", &quote(&file.to_string_lossy()));
        }
        if let Some(file) = &self.log_file {
            line("log_file", &quote(&file.to_string_lossy()));
        }
        let store_dir = quote(&self.store_dir.to_string_lossy());
        let sync = quote(&format!("{}ms", self.sync_interval.as_millis()));
        let _ = writeln!(text, "jetstream {{\n  store_dir: {store_dir}\n  sync_interval: {sync}\n}}");
        let (user, password) = (quote(&self.user), quote(&self.password));
        let _ = writeln!(text, "authorization {{\n  user: {user}\n  password: {password}\n}}");
        text
    }
}

/// Quotes a string for the configuration language. Within double quotes `\` escapes, and `$` does not begin a variable.
fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_quotes_stays_in_quotes() {
        assert_eq!(quote(r#"a"b\c"#), r#""a\"b\\c""#);
        assert_eq!(quote("$2a$11$x\nlisten: 0.0.0.0"), r#""$2a$11$x\nlisten: 0.0.0.0""#);
    }
}
