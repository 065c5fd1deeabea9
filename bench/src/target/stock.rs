//! The peer and the prototype: this very program, in another role.

use std::process::Stdio;
use std::sync::Arc;

use sqlx::postgres::PgPoolOptions;
use tokio::process::Command;

use super::{Backlog, Child, Name, Target};
use crate::ground::Ground;
use crate::load::Aim;
use crate::server::{self, TokenMint};

/// Events that the peer's read model has not seen.
const PEER_BACKLOG: &str =
    "SELECT (SELECT count(*) FROM events) - (SELECT position FROM checkpoints WHERE projection = 'leads')";

/// Starts the stock peer, with a database of its own.
pub async fn peer(ground: &Ground, tokens: usize) -> anyhow::Result<Target> {
    let url = ground.create_database("bench_peer").await?;
    let pool = PgPoolOptions::new().max_connections(1).connect_lazy(&url)?;
    start(Name::Peer, ground, &url, tokens, Backlog::Query(pool, PEER_BACKLOG)).await
}

/// Starts the prototype, with a database of its own.
pub async fn prototype(ground: &Ground, tokens: usize) -> anyhow::Result<Target> {
    let url = ground.create_database("bench_prototype").await?;
    start(Name::Prototype, ground, &url, tokens, Backlog::None).await
}

async fn start(name: Name, ground: &Ground, postgres: &str, tokens: usize, backlog: Backlog) -> anyhow::Result<Target> {
    let mint = TokenMint::generate();
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args([name.as_str(), "--postgres", postgres, "--nats", &ground.nats_url(), "--public-key", &mint.public_key()])
        .stdout(Stdio::piped());
    let mut child = Child::start(&mut command)?;
    let addr = child.address(server::address).await?;
    let tokens = (0..tokens).map(|client| Ok(Arc::from(mint.token(&format!("client-{client}"))?)));
    let aim = Aim { addr, tokens: tokens.collect::<anyhow::Result<_>>()?, run: ground.run_id() };
    Ok(Target { name, aim, child, backlog })
}
