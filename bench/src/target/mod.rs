//! The servers under test: ours, the stock peer and the prototype. Each is a separate process on the same infrastructure.

mod child;
mod ours;
mod stock;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::load::Aim;
use child::Child;

pub use ours::{Inopsio, Tenant, free_address};
pub use stock::{peer, prototype};

/// Which of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, clap::ValueEnum)]
pub enum Name {
    /// The stock peer.
    Peer,
    /// The prototype.
    Prototype,
    /// Ours.
    Ours,
}

impl Name {
    /// The name in the results.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Peer => "peer",
            Self::Prototype => "prototype",
            Self::Ours => "ours",
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Keys and tokens for all servers. They share the tokens, so that checking them costs the same.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The public key in PEM.
    pub public_key: String,
    /// Tokens of different tenants, which are assigned to the clients in turn.
    pub tokens: Vec<Arc<str>>,
}

/// A running server. It is stopped on drop.
pub struct Target {
    /// Which.
    pub name: Name,
    /// Its address and the tokens for it.
    pub aim: Aim,
    child: Child,
    backlog: Backlog,
}

/// How to determine how many events its read model has not applied yet.
enum Backlog {
    /// Without a read model.
    None,
    /// A query of its database that returns that number.
    Query(sqlx::PgPool, &'static str),
}

impl Target {
    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Kills the process (SIGKILL).
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill().await
    }

    /// Number of events that its read model has not applied yet.
    pub async fn behind(&self) -> anyhow::Result<u64> {
        let Backlog::Query(pool, query) = &self.backlog else { return Ok(0) };
        let behind: i64 = sqlx::query_scalar(query).fetch_one(pool).await?;
        Ok(behind.try_into().unwrap_or_default())
    }

    /// Waits until its read model has caught up, so that it does not disturb the next measurement; at most a minute.
    pub async fn settle(&self) -> anyhow::Result<()> {
        let deadline = Instant::now() + Duration::from_mins(1);
        loop {
            let behind = self.behind().await?;
            if behind == 0 {
                return Ok(());
            }
            anyhow::ensure!(Instant::now() < deadline, "{} is still {behind} events behind after a minute", self.name);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
