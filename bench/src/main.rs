//! The benchmark: measures Inopsio, a stock peer, a bare prototype and the raw limits of the machine in interleaved rounds of one run.
//!
//! [`run`] starts the infrastructure (a private Postgres and a private nats-server) and the three servers under test ([`target`]), each as
//! a separate process: ours (`inopsio serve`), the stock peer ([`peer`]) and the prototype ([`prototype`]). Then it measures commands
//! ([`commands`]; with a thousand [`tenants`]; during [`logins`]), the lag from a command to the visible row ([`lag`]; during an import:
//! [`fairness`]), bulk work ([`bulk`]), jobs ([`jobs`], compared with apalis), [`sagas`], recovery after failures ([`recovery`]) and the
//! raw limits ([`raw`]). It prints tables and writes the results ([`report`]).
//!
//! Absolute figures depend on the machine and on its other load, so compare the ratios within one run. To add a measurement, add a file
//! with a function `part` that measures, prints and records its figures, a call in `run.rs`, and a line in `README.md`.

mod bulk;
mod commands;
mod cpu;
mod fairness;
mod goals;
mod growth;
mod infrastructure;
mod jobs;
mod lag;
mod load;
mod logins;
mod machine;
mod memory;
mod peer;
mod prototype;
mod raw;
mod recovery;
mod report;
mod run;
mod sagas;
mod server;
mod target;
mod tenants;

use clap::{Parser, Subcommand};

/// The same allocator as `inopsio`, so that the peer and the prototype have the same conditions.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures us and the stock peer in one run
#[derive(Parser)]
#[command(name = "inopsio-bench", version, after_help = "Example:\n  inopsio-bench --quick --out /tmp/quick.json")]
struct Arguments {
    #[command(subcommand)]
    role: Option<Role>,
    #[command(flatten)]
    options: run::Options,
}

/// What the benchmark starts as processes of their own.
#[derive(Subcommand)]
enum Role {
    /// Serves as the stock peer
    #[command(hide = true)]
    Peer(server::Settings),
    /// Serves as the prototype
    #[command(hide = true)]
    Prototype(server::Settings),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    match arguments.role {
        Some(Role::Peer(settings)) => peer::serve(&settings).await,
        Some(Role::Prototype(settings)) => prototype::serve(&settings).await,
        None => run::run(&arguments.options).await,
    }
}
