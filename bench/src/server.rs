//! The common parts of the peer and the prototype: they run as separate processes like ours, with the same web framework and token check.

mod token;

use std::net::SocketAddr;

use anyhow::Context;
use poem::listener::{Acceptor, Listener, TcpListener};
use poem::{Endpoint, EndpointExt};

use token::TokenCheck;

/// Settings of a server under test.
#[derive(Clone, Debug, clap::Args)]
pub struct Settings {
    /// URL of its database.
    #[arg(long)]
    pub postgres: String,
    /// URL of the nats-server.
    #[arg(long)]
    pub nats: String,
    /// Ed25519 public key by which tokens are checked, in PEM.
    #[arg(long)]
    pub public_key: String,
}

/// The prefix of the line that reports readiness; the address follows.
pub const READY: &str = "listening on ";

/// Serves on a free loopback port until the process is killed. Prints the address on standard output.
pub async fn serve(settings: &Settings, endpoint: impl Endpoint + 'static) -> anyhow::Result<()> {
    let check = TokenCheck::new(&settings.public_key)?;
    let acceptor = TcpListener::bind("127.0.0.1:0").into_acceptor().await.context("no free port")?;
    let addr = acceptor.local_addr().first().and_then(|addr| addr.as_socket_addr().copied()).context("no address")?;
    println!("{READY}{addr}");
    poem::Server::new_with_acceptor(acceptor).run(endpoint.with(check)).await.context("serving")
}

/// Parses the address from the line that [`serve`] prints.
pub fn address(line: &str) -> Option<SocketAddr> {
    line.strip_prefix(READY)?.trim().parse().ok()
}
