//! What the peer and the prototype have in common: they run as processes of their own, as ours does, behind the same web
//! framework and the same token check.

mod token;

use std::net::SocketAddr;

use anyhow::Context;
use poem::listener::{Acceptor, Listener, TcpListener};
use poem::{Endpoint, EndpointExt};

use token::TokenCheck;

/// What a server under test is told.
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

/// The line by which a server says that it is ready, before its address.
pub const READY: &str = "listening on ";

/// Serves on a free port of the loopback, says which on stdout, until the process is ended.
pub async fn serve(settings: &Settings, endpoint: impl Endpoint + 'static) -> anyhow::Result<()> {
    let check = TokenCheck::new(&settings.public_key)?;
    let acceptor = TcpListener::bind("127.0.0.1:0").into_acceptor().await.context("no free port")?;
    let addr = acceptor.local_addr().first().and_then(|addr| addr.as_socket_addr().copied()).context("no address")?;
    println!("{READY}{addr}");
    poem::Server::new_with_acceptor(acceptor).run(endpoint.with(check)).await.context("serving")
}

/// The address in the line that [`serve`] prints.
pub fn address(line: &str) -> Option<SocketAddr> {
    line.strip_prefix(READY)?.trim().parse().ok()
}
