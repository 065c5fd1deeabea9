//! A nats-server of one's own.

use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::programs;
use crate::watchdog::Watchdog;

/// A private nats-server with JetStream. Gone when dropped.
pub struct Nats {
    dir: PathBuf,
    port: u16,
    /// What its configuration says of its cluster, if it is in one.
    cluster: String,
    server: Option<(Child, Watchdog)>,
}

impl Nats {
    /// Starts a server on a free port.
    pub async fn start() -> Self {
        let dir = programs::temporary_directory("nats");
        let mut nats = Self { dir, port: programs::free_port(), cluster: String::new(), server: None };
        nats.restart().await;
        nats
    }

    /// Starts a cluster of so many servers, named `node-0` and so on. It needs a moment to choose who leads it.
    pub async fn cluster(size: usize) -> Vec<Self> {
        let ports: Vec<_> = (0..size).map(|_| programs::free_port()).collect();
        let routes: Vec<_> = ports.iter().map(|port| format!("\"nats://127.0.0.1:{port}\"")).collect();
        let routes = routes.join(", ");
        let mut nodes = Vec::new();
        for (number, port) in ports.into_iter().enumerate() {
            let cluster = format!(
                "server_name: \"node-{number}\"\n\
                 cluster {{ name: \"test\", listen: \"127.0.0.1:{port}\", routes: [{routes}] }}\n"
            );
            let dir = programs::temporary_directory("nats");
            let mut node = Self { dir, port: programs::free_port(), cluster, server: None };
            node.restart().await;
            nodes.push(node);
        }
        nodes
    }

    /// For clients: `nats://127.0.0.1:…`, no user or password.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The server's process; none while it does not run.
    pub fn pid(&self) -> Option<u32> {
        self.server.as_ref().map(|(server, _)| server.id())
    }

    /// Where JetStream keeps its files; theirs only while the server does not run.
    pub fn store(&self) -> PathBuf {
        self.dir.join("store")
    }

    /// Kills the server at once (SIGKILL), as a crash would.
    pub fn kill(&mut self) {
        if let Some((mut server, watchdog)) = self.server.take() {
            watchdog.dismiss();
            server.kill().expect("the nats-server can be killed");
            server.wait().expect("the nats-server ends");
        }
    }

    /// Starts the server again, on the same port and store; one that still runs is killed first.
    pub async fn restart(&mut self) {
        self.kill();
        let config = self.dir.join("nats.conf");
        std::fs::write(
            &config,
            format!(
                "listen: \"127.0.0.1:{}\"\nmax_payload: 1MB\njetstream {{ store_dir: \"{}\" }}\n{}",
                self.port,
                self.store().display(),
                self.cluster
            ),
        )
        .expect("the nats-server's configuration can be written");
        let log = std::fs::File::create(self.dir.join("log")).expect("the nats-server's log");
        let mut server = Command::new(programs::nats_server())
            .arg("-c")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the nats-server starts");
        let watchdog = Watchdog::new(server.id(), &self.dir);
        let begin = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let log = || std::fs::read_to_string(self.dir.join("log")).unwrap_or_default();
            assert!(server.try_wait().expect("its state").is_none(), "the nats-server ended:\n{}", log());
            assert!(begin.elapsed() < Duration::from_secs(20), "the nats-server does not listen:\n{}", log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.server = Some((server, watchdog));
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        self.kill();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}
