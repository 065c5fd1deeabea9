//! A private nats-server.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::network::Network;
use crate::programs;
use crate::watchdog::Watchdog;

/// A private nats-server with JetStream. It is killed and removed on drop.
pub struct Nats {
    dir: PathBuf,
    host: String,
    port: u16,
    /// The network namespace that it runs in, if it is not the test's.
    namespace: Option<String>,
    /// The cluster section of its configuration; empty if it is not in a cluster.
    cluster: String,
    server: Option<(Child, Watchdog)>,
}

impl Nats {
    /// Starts a server on a free port.
    pub async fn start() -> Self {
        let mut nats = Self::at("127.0.0.1".to_owned(), programs::free_port(), None, String::new());
        nats.restart().await;
        nats
    }

    /// Starts a server with its files in a new folder on a certain disk.
    pub async fn start_in(folder: &Path) -> Self {
        std::fs::create_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let mut nats = Self::at("127.0.0.1".to_owned(), programs::free_port(), None, String::new());
        std::fs::remove_dir(&nats.dir).expect("the folder that is not needed");
        folder.clone_into(&mut nats.dir);
        nats.restart().await;
        nats
    }

    /// Starts a cluster of `size` servers, named `node-0` and so on. It takes a moment to elect its leader.
    pub async fn cluster(size: usize) -> Vec<Self> {
        let host = |_| ("127.0.0.1".to_owned(), programs::free_port(), programs::free_port(), None);
        Self::members((0..size).map(host).collect()).await
    }

    /// The same with each server on another host of this network.
    pub async fn cluster_in(network: &Network) -> Vec<Self> {
        let host = |number| (network.address(number), 4222, 6222, Some(network.namespace(number)));
        Self::members((0..network.size()).map(host).collect()).await
    }

    /// Starts the servers of a cluster. For each: address, port for clients, port for routes, and network namespace.
    async fn members(hosts: Vec<(String, u16, u16, Option<String>)>) -> Vec<Self> {
        let routes: Vec<_> = hosts.iter().map(|(host, _, port, _)| format!("\"nats://{host}:{port}\"")).collect();
        let routes = routes.join(", ");
        let mut nodes = Vec::new();
        for (number, (host, port, route, namespace)) in hosts.into_iter().enumerate() {
            let cluster = format!(
                "server_name: \"node-{number}\"\n\
                 cluster {{ name: \"test\", listen: \"{host}:{route}\", routes: [{routes}] }}\n"
            );
            let mut node = Self::at(host, port, namespace, cluster);
            node.restart().await;
            nodes.push(node);
        }
        nodes
    }

    fn at(host: String, port: u16, namespace: Option<String>, cluster: String) -> Self {
        Self { dir: programs::temporary_directory("nats"), host, port, namespace, cluster, server: None }
    }

    /// The URL for clients: `nats://127.0.0.1:…`, without user and password.
    pub fn url(&self) -> String {
        format!("nats://{}:{}", self.host, self.port)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The server's process id; none if it is not running.
    pub fn pid(&self) -> Option<u32> {
        self.server.as_ref().map(|(server, _)| server.id())
    }

    /// JetStream's folder. Change it only while the server is not running.
    pub fn store(&self) -> PathBuf {
        self.dir.join("store")
    }

    /// Sends the server a signal (`STOP`, `CONT`).
    pub fn signal(&self, signal: &str) {
        programs::signal(self.pid().expect("the nats-server runs"), signal);
    }

    /// Kills the server at once (SIGKILL), like a crash.
    pub fn kill(&mut self) {
        if let Some((mut server, watchdog)) = self.server.take() {
            watchdog.dismiss();
            server.kill().expect("the nats-server can be killed");
            server.wait().expect("the nats-server ends");
        }
    }

    /// Starts the server again on the same port and store. If it is still running, it is killed first.
    pub async fn restart(&mut self) {
        self.kill();
        let config = self.dir.join("nats.conf");
        std::fs::write(
            &config,
            format!(
                "listen: \"{}:{}\"\nmax_payload: 1MB\njetstream {{ store_dir: \"{}\" }}\n{}",
                self.host,
                self.port,
                self.store().display(),
                self.cluster
            ),
        )
        .expect("the nats-server's configuration can be written");
        let log = std::fs::File::create(self.dir.join("log")).expect("the nats-server's log");
        let mut command = match &self.namespace {
            None => Command::new(programs::nats_server()),
            Some(namespace) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", namespace]).arg(programs::nats_server());
                command
            }
        };
        let mut server = command
            .arg("-c")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the nats-server starts");
        let watchdog = Watchdog::new(server.id(), &self.dir);
        let begin = Instant::now();
        while TcpStream::connect((self.host.as_str(), self.port)).is_err() {
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
