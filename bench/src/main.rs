//! Measures us, the stock peer, a bare prototype and the raw limits side by side, in interleaved rounds of one run.
//!
//! [`run`] starts the infrastructure (a private Postgres, a private nats-server) and the three servers under test on it ([`target`]):
//! ours (`inopsio serve`), the stock peer ([`peer`]) and the prototype ([`prototype`]), each a process of its own. Then it
//! measures commands ([`commands`]; of a thousand [`tenants`], beside [`logins`]), the lag from a command to the visible row ([`lag`], and
//! beside an import [`fairness`]), what ours does in bulk ([`bulk`]), jobs ([`jobs`], beside apalis), [`sagas`], how soon it works again
//! ([`recovery`]) and what the machine does by itself ([`raw`]), prints tables and writes the results ([`report`]).
//!
//! Absolute figures depend on the machine and on what else it does; the ratios within one run are what counts. To measure
//! something new: a file with a function `part` that measures, shows and notes its figures, a call in `run.rs`, a line in `README.md`.

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

/// As in `inopsio`, so that the peer and the prototype have it too.
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
