//! The private nats-server: finds, configures, starts and recovers it.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use tokio::process::Command;

use super::home::{Home, private_folder};
use super::process::{self, Server};
use super::secrets;

/// The user name of our connections.
pub const USER: &str = "inopsio";

const CONFIG: &str = "nats-server.conf";
const PID_FILE: &str = "nats-server.pid";

/// Stops the server of a killed run.
pub async fn stop_left_behind(home: &Home) -> Result<()> {
    let folder = home.nats();
    process::stop_orphan("nats-server", &folder.join(PID_FILE), &folder.join(CONFIG), Signal::TERM).await
}

/// Starts the private nats-server with JetStream on a port of 127.0.0.1.
pub async fn start(home: &Home, port: u16) -> Result<Server> {
    let binary = find(home)?.canonicalize()?;
    let folder = home.nats();
    private_folder(&folder)?;
    let password = secrets::random_once(home, "nats")?;
    let config = folder.join(CONFIG);

    // `secrets::write`, because the file contains the password.
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut settings = ::nats::server::Server::local(listen, folder.join("jetstream"), USER, password);
    settings.pid_file = Some(folder.join(PID_FILE));
    secrets::write(&config, &settings.render())?;
    let mut command = Command::new(&binary);
    command.arg("--config").arg(&config).env_clear().current_dir(&folder);
    let mut server = Server::start("the private nats-server", command, None, &folder.join("log"), Signal::TERM)?;
    server.ready(Duration::from_mins(1), async |_| answers(port).await).await?;
    Ok(server)
}

/// Whether the server accepts connections: it sends `INFO` first.
async fn answers(port: u16) -> bool {
    use tokio::io::AsyncReadExt;
    let greeting = async {
        let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok()?;
        let mut begin = [0_u8; 5];
        stream.read_exact(&mut begin).await.ok()?;
        Some(&begin == b"INFO ")
    };
    tokio::time::timeout(Duration::from_secs(1), greeting).await.ok().flatten().unwrap_or(false)
}

fn find(home: &Home) -> Result<PathBuf> {
    if let Some(binary) = std::env::var_os("INOPSIO_NATS_SERVER").map(PathBuf::from) {
        if binary.is_file() {
            return Ok(binary);
        }
        bail!("INOPSIO_NATS_SERVER={} does not exist: run scripts/setup, or set another path", binary.display());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    home.tools()
        .into_iter()
        .chain(std::env::split_paths(&path))
        .map(|folder| folder.join("nats-server"))
        .find(|binary| binary.is_file())
        .context("there is no nats-server: run scripts/setup, or set INOPSIO_NATS_SERVER")
}
