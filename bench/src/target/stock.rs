//! The peer and the prototype, which are this program in another role.

use std::process::Stdio;

use tokio::process::Command;

use super::{Backlog, Child, Credentials, Name, Target};
use crate::infrastructure::Infrastructure;
use crate::load::Aim;
use crate::server;

/// Number of events that the peer's read model has not applied yet.
const PEER_BACKLOG: &str =
    "SELECT (SELECT count(*) FROM events) - (SELECT position FROM checkpoints WHERE projection = 'leads')";

/// Starts the stock peer with its own database.
pub async fn peer(infrastructure: &Infrastructure, credentials: &Credentials) -> anyhow::Result<Target> {
    let backlog = Backlog::Query(infrastructure.pool("bench_peer"), PEER_BACKLOG);
    start(Name::Peer, infrastructure, "bench_peer", credentials, backlog).await
}

/// Starts the prototype with its own database.
pub async fn prototype(infrastructure: &Infrastructure, credentials: &Credentials) -> anyhow::Result<Target> {
    start(Name::Prototype, infrastructure, "bench_prototype", credentials, Backlog::None).await
}

async fn start(
    name: Name,
    infrastructure: &Infrastructure,
    database: &str,
    credentials: &Credentials,
    backlog: Backlog,
) -> anyhow::Result<Target> {
    let postgres = infrastructure.create_database(database).await?;
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args([name.as_str(), "--postgres", &postgres, "--nats", &infrastructure.nats_url()])
        // One argument with `=`, because a PEM begins with dashes like an option.
        .arg(format!("--public-key={}", credentials.public_key))
        .stdout(Stdio::piped());
    let mut child = Child::start(&mut command)?;
    let addr = child.address(server::address).await?;
    let aim = Aim { addr, tokens: credentials.tokens.clone(), zipf: None, run: infrastructure.run_id() };
    Ok(Target { name, aim, child, backlog })
}
