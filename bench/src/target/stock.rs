//! The peer and the prototype: this very program, in another role.

use std::process::Stdio;

use tokio::process::Command;

use super::{Backlog, Child, Credentials, Name, Target};
use crate::ground::Ground;
use crate::load::Aim;
use crate::server;

/// Events that the peer's read model has not seen.
const PEER_BACKLOG: &str =
    "SELECT (SELECT count(*) FROM events) - (SELECT position FROM checkpoints WHERE projection = 'leads')";

/// Starts the stock peer, with a database of its own.
pub async fn peer(ground: &Ground, credentials: &Credentials) -> anyhow::Result<Target> {
    let backlog = Backlog::Query(ground.pool("bench_peer"), PEER_BACKLOG);
    start(Name::Peer, ground, "bench_peer", credentials, backlog).await
}

/// Starts the prototype, with a database of its own.
pub async fn prototype(ground: &Ground, credentials: &Credentials) -> anyhow::Result<Target> {
    start(Name::Prototype, ground, "bench_prototype", credentials, Backlog::None).await
}

async fn start(
    name: Name,
    ground: &Ground,
    database: &str,
    credentials: &Credentials,
    backlog: Backlog,
) -> anyhow::Result<Target> {
    let postgres = ground.create_database(database).await?;
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args([name.as_str(), "--postgres", &postgres, "--nats", &ground.nats_url()])
        // In one: a PEM begins like a flag.
        .arg(format!("--public-key={}", credentials.public_key))
        .stdout(Stdio::piped());
    let mut child = Child::start(&mut command)?;
    let addr = child.address(server::address).await?;
    let aim = Aim { addr, tokens: credentials.tokens.clone(), zipf: None, run: ground.run_id() };
    Ok(Target { name, aim, child, backlog })
}
