//! Starts and stops the private servers of one home together.

use std::time::Duration;

use anyhow::Result;

use super::home::Home;
use super::lock::Lock;
use super::nats;
use super::ports::Ports;
use super::postgres;
use super::process::Server;

/// How long a server may take to stop before it is killed.
const STOP: Duration = Duration::from_secs(30);

/// The running private servers. Call [`stop`](Self::stop) in the end; on drop they are signalled to stop but not awaited.
#[derive(Debug)]
pub struct Environment {
    postgres: Server,
    nats: Server,
    // The last field: dropped after the servers, so that whoever gets the lock next finds them stopped.
    lock: Lock,
}

impl Environment {
    /// Stops servers of a killed run, then starts both.
    pub async fn start(home: &Home, ports: Ports, lock: Lock) -> Result<Self> {
        postgres::stop_left_behind(home).await?;
        nats::stop_left_behind(home).await?;
        ports.check()?;
        let (postgres, nats) =
            tokio::join!(postgres::start(home, ports.postgres, postgres::Data::Kept), nats::start(home, ports.nats));
        match (postgres, nats) {
            (Ok(postgres), Ok(nats)) => Ok(Self { postgres, nats, lock }),
            (Ok(postgres), Err(error)) => postgres.stop(STOP).await.and(Err(error)),
            (Err(error), Ok(nats)) => nats.stop(STOP).await.and(Err(error)),
            (Err(error), Err(_)) => Err(error),
        }
    }

    /// Waits until one of the servers ends unexpectedly. Returns a message with its name and the end of its log.
    pub async fn broken(&mut self) -> String {
        tokio::select! {
            reason = self.postgres.ended() => reason,
            reason = self.nats.ended() => reason,
        }
    }

    /// Stops both servers and releases the home's lock.
    pub async fn stop(self) -> Result<()> {
        let Self { postgres, nats, lock } = self;
        let (first, second) = tokio::join!(postgres.stop(STOP), nats.stop(STOP));
        drop(lock);
        first.and(second)
    }
}
