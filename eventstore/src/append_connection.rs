//! The single connection on which a process appends. It reconnects when it is lost.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, Utc};
use kernel::Backoff;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection};
use tokio::time::{Instant, sleep, timeout_at};

use crate::batch::Batch;
use crate::claim_key;
use crate::epoch::{self, Epoch};
use crate::failure::{Failure, classify};
use crate::statement::{self, Outcome};

/// The pauses between attempts.
const BACKOFF: Backoff = Backoff { first: Duration::from_millis(10), longest: Duration::from_millis(500) };

/// How long each attempt waits for the server process of a lost connection to end.
const TERMINATION_WAIT: Duration = Duration::from_secs(1);

/// Why a batch has no result.
pub(crate) enum NoResult {
    /// No answer in time: it is not known whether the batch was written.
    Unknown(String),
    /// Nothing was written: the appends at these places of the batch [rest on what the log may have lost](epoch::outdated).
    Outdated(BTreeSet<usize>),
    /// Nothing was written, and sending it again would not help.
    Refused(sqlx::Error),
}

/// A connection that is reopened when it is lost.
pub(crate) struct AppendConnection {
    options: PgConnectOptions,
    /// The mark of the claim key, which has to be the log's.
    claim_key_mark: Option<String>,
    connection: Option<PgConnection>,
    /// The server process of the last connection: when the connection is lost, it may still be busy with our statement.
    backend: Option<(i32, DateTime<Utc>)>,
    /// The log's epoch, which ends when a lost connection is replaced, and when the first one leads to another server than what was read.
    epoch: Epoch,
}

impl AppendConnection {
    /// A connection that is opened when it is first used.
    pub(crate) fn new(options: PgConnectOptions, claim_key_mark: Option<String>, epoch: Epoch) -> Self {
        Self { options, claim_key_mark, connection: None, backend: None, epoch }
    }

    /// Sends a batch, again after failures, until there is a result or the deadline is reached. Command ids make repetition safe.
    pub(crate) async fn append(&mut self, batch: &Batch, deadline: Instant) -> Result<Outcome, NoResult> {
        let mut pause = BACKOFF.first;
        loop {
            let error = match timeout_at(deadline, self.attempt(batch)).await {
                Ok(Ok(verdict)) => return verdict,
                Ok(Err(error)) => error,
                Err(_) => {
                    // The statement may still be running, but its result is not read any more.
                    self.connection = None;
                    return Err(NoResult::Unknown("no answer in time".to_owned()));
                }
            };
            match classify(&error) {
                Failure::Permanent => return Err(NoResult::Refused(error)),
                Failure::Lost => self.connection = None,
                Failure::Transient => {}
            }
            tracing::warn!(%error, "the append did not get through; trying again");
            if Instant::now() + pause >= deadline {
                return Err(NoResult::Unknown(error.to_string()));
            }
            sleep(pause).await;
            pause = BACKOFF.after(pause);
        }
    }

    /// Sends a batch once. The outer error is one of the connection or the server.
    async fn attempt(&mut self, batch: &Batch) -> Result<Result<Outcome, NoResult>, sqlx::Error> {
        let connection = if let Some(connection) = self.connection.take() {
            self.connection.insert(connection)
        } else {
            let connection = self.connect().await?;
            self.connection.insert(connection)
        };
        let outdated = epoch::outdated(connection, batch, self.epoch.current()).await?;
        if !outdated.is_empty() {
            return Ok(Err(NoResult::Outdated(outdated)));
        }
        statement::append(connection, batch).await.map(Ok)
    }

    /// Connects, and makes sure that the server process of the lost connection has ended: otherwise it could still write a batch after a
    /// caller was told that it failed. As long as that process does not end (its disk hangs, for instance), nothing is sent over the new
    /// connection.
    async fn connect(&mut self) -> Result<PgConnection, sqlx::Error> {
        let mut connection = self.options.connect().await?;
        if let Some((pid, started)) = self.backend {
            let ended: Option<bool> = sqlx::query_scalar(
                "SELECT pg_terminate_backend(pid, $3) FROM pg_stat_activity WHERE pid = $1 AND backend_start = $2",
            )
            .bind(pid)
            .bind(started)
            .bind(i64::try_from(TERMINATION_WAIT.as_millis()).unwrap_or(i64::MAX))
            .fetch_optional(&mut connection)
            .await?;
            // A process that has ended has no row. If it ends between the two steps, the next attempt finds no row.
            if ended == Some(false) {
                let what = format!("the server's process {pid} of the lost connection does not end");
                return Err(sqlx::Error::Io(std::io::Error::other(what)));
            }
            // It may be another server, which lacks the end of the log.
            self.epoch.end();
        }
        let query =
            "SELECT pid, backend_start, pg_postmaster_start_time() FROM pg_stat_activity WHERE pid = pg_backend_pid()";
        let (pid, started, server): (i32, DateTime<Utc>, DateTime<Utc>) =
            sqlx::query_as(query).fetch_one(&mut connection).await?;
        self.backend = Some((pid, started));
        self.epoch.answered_by(server);
        if let Some(mark) = &self.claim_key_mark {
            claim_key::keep(&mut connection, mark).await?;
        }
        Ok(connection)
    }

    /// Gives the connection up; the next append opens another one.
    pub(crate) fn give_up(&mut self) {
        self.connection = None;
    }

    /// Closes the connection gracefully.
    pub(crate) async fn close(&mut self) {
        if let Some(connection) = self.connection.take()
            && let Err(error) = connection.close().await
        {
            tracing::debug!(%error, "the append connection did not close in good order");
        }
    }
}
