//! [`Sealer`]: follows the log and signs heads. One instance in a service is active.

use std::sync::Arc;
use std::time::Duration;

use kernel::{Clock, Service};
use metrics::Gauge;
use sqlx::postgres::PgConnection;
use sqlx::{ConnectOptions, Connection};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::SealKey;
use super::rows::{self, Progress};
use crate::{Database, Error, Lock, LockKey, Role};

/// The interval between rounds. A head that includes an event is signed within this time after it (the maximum merge delay of RFC 6962),
/// plus the time that the statements take.
const INTERVAL: Duration = Duration::from_secs(1);

/// The number of events of the log that are in no tree yet, and so in no signed head, whichever process is the active sealer.
pub async fn unsealed(database: &Database) -> Result<u64, Error> {
    let mut connection = database.options(Role::Seal).disable_statement_logging().connect().await?;
    let Progress { trees, log } = rows::progress(&mut connection).await?;
    let _ = connection.close().await;
    Ok(log.0.saturating_sub(trees.0))
}

/// The state of a sealer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SealerState {
    /// It follows the log, or another instance in the service does.
    Fine,
    /// It has failed, and retries.
    Waiting {
        /// The reason.
        reason: String,
    },
}

/// The sealer of a service. Clones share its state.
#[derive(Clone)]
pub struct Sealer {
    database: Database,
    key: SealKey,
    clock: Arc<dyn Clock>,
    state: watch::Sender<SealerState>,
    lag: Gauge,
}

impl Sealer {
    /// A sealer that signs with this key. It does nothing before [`run`](Self::run).
    pub fn new(database: &Database, key: SealKey, clock: Arc<dyn Clock>) -> Self {
        metrics::describe_gauge!("inopsio_seal_lag_events", "Events of the log that are in no signed head yet");
        metrics::describe_counter!("inopsio_seals_total", "Signed heads of tenants' trees");
        let lag = metrics::gauge!("inopsio_seal_lag_events", "service" => database.service.name());
        Self { database: database.clone(), key, clock, state: watch::channel(SealerState::Fine).0, lag }
    }

    /// The current state, and its changes.
    pub fn state(&self) -> watch::Receiver<SealerState> {
        self.state.subscribe()
    }

    /// Runs until `shutdown`. It survives outages of the database.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut lock = Lock::new(&self.database, Role::Seal, LockKey::Sealer);
        while !shutdown.is_cancelled() {
            let acquired = tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                acquired = lock.acquire() => acquired.map_err(Error::from),
            };
            let ended = match acquired {
                Ok(true) => tokio::select! {
                    biased;
                    () = shutdown.cancelled() => break,
                    () = lock.lost() => Ok(()),
                    error = self.follow() => Err(error),
                },
                Ok(false) => Ok(()),
                Err(error) => Err(error),
            };
            self.report(ended.err());
            // The active instance reports the lag; a stale value must not remain here.
            self.lag.set(0.0);
            shutdown.run_until_cancelled(tokio::time::sleep(INTERVAL)).await;
        }
        lock.release().await;
    }

    /// Extends trees and signs heads until an error occurs.
    async fn follow(&self) -> Error {
        let service = self.database.service;
        let mut connection = match self.database.options(Role::Seal).disable_statement_logging().connect().await {
            Ok(connection) => connection,
            Err(error) => return error.into(),
        };
        loop {
            match self.round(&mut connection, service).await {
                Ok(()) => self.report(None),
                Err(error) => {
                    let _ = connection.close().await;
                    return error;
                }
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }

    async fn round(&self, connection: &mut PgConnection, service: Service) -> Result<(), Error> {
        let Progress { mut trees, log } = rows::progress(connection).await?;
        self.lag.set(log.0.saturating_sub(trees.0) as f64);
        // When a log is sealed for the first time, this takes long; heads are signed when the trees have reached its end.
        while trees < log {
            trees = rows::grow(connection).await?;
            self.lag.set(log.0.saturating_sub(trees.0) as f64);
        }
        loop {
            let signed = rows::sign(connection, &self.key, service.name(), self.clock.now()).await?;
            if signed == 0 {
                return Ok(());
            }
            metrics::counter!("inopsio_seals_total", "service" => service.name()).increment(signed as u64);
        }
    }

    fn report(&self, trouble: Option<Error>) {
        let state = match trouble {
            None => SealerState::Fine,
            Some(error) => SealerState::Waiting { reason: error.to_string() },
        };
        self.state.send_if_modified(|known| {
            if let (SealerState::Waiting { reason }, true) = (&state, *known != state) {
                tracing::warn!(service = %self.database.service, reason, "the log is not sealed; trying again");
            }
            std::mem::replace(known, state.clone()) != state
        });
    }
}
