//! The servers under test: ours, the stock peer, the prototype. Each is a process of its own on the same infrastructure.

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
    /// As the results name it.
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

/// What all of them are asked with: the same tokens, so the same work to check them.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// In PEM.
    pub public_key: String,
    /// Clients share them out in turn; each is of another tenant.
    pub tokens: Vec<Arc<str>>,
}

/// A running server. Ends with it.
pub struct Target {
    /// Which.
    pub name: Name,
    /// Where it is and what it takes.
    pub aim: Aim,
    child: Child,
    backlog: Backlog,
}

/// How to ask what its read model has not seen yet.
enum Backlog {
    /// It has no read model.
    None,
    /// The number of events, by a query of its database.
    Query(sqlx::PgPool, &'static str),
}

impl Target {
    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Kills it (SIGKILL).
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill().await
    }

    /// How many events its read model has not seen.
    pub async fn behind(&self) -> anyhow::Result<u64> {
        let Backlog::Query(pool, query) = &self.backlog else { return Ok(0) };
        let behind: i64 = sqlx::query_scalar(query).fetch_one(pool).await?;
        Ok(behind.try_into().unwrap_or_default())
    }

    /// Waits until its read model has seen all, so that it leaves the machine to the next; a minute at most.
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
