//! The single connection on which a process appends. It reconnects when it is lost.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use kernel::Backoff;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection};
use tokio::time::{Instant, sleep, timeout_at};
use uuid::Uuid;

use crate::append::ClaimAct;
use crate::batch::Batch;
use crate::failure::{Failure, classify};
use crate::sealing::{Keyring, ONLY_KEY, PERSON_KEY, TENANT_KEY};
use crate::statement::{self, Outcome};

/// The pauses between attempts.
const BACKOFF: Backoff = Backoff { first: Duration::from_millis(10), longest: Duration::from_millis(500) };

/// How long each attempt waits for the server process of a lost connection to end.
const TERMINATION_WAIT: Duration = Duration::from_secs(1);

/// How long after the connection was replaced an append may come that was sealed before.
const SEALING: Duration = Duration::from_secs(5);

/// Why a batch has no result.
pub(crate) enum NoResult {
    /// No answer in time: it is not known whether the batch was written.
    Unknown(String),
    /// Nothing was written, and sending it again would not help.
    Refused(sqlx::Error),
}

/// A connection that is reopened when it is lost.
pub(crate) struct AppendConnection {
    options: PgConnectOptions,
    connection: Option<PgConnection>,
    /// The server process of the last connection: when the connection is lost, it may still be busy with our statement.
    backend: Option<(i32, DateTime<Utc>)>,
    keyring: Arc<Keyring>,
    /// When a lost connection was last replaced by another one.
    replaced: Option<std::time::Instant>,
}

impl AppendConnection {
    /// A connection that is opened when it is first used. The keys of what is appended come from `keyring`.
    pub(crate) fn new(options: PgConnectOptions, keyring: Arc<Keyring>) -> Self {
        Self { options, connection: None, backend: None, keyring, replaced: None }
    }

    /// Sends a batch, again after failures, until there is a result or the deadline is reached. Command ids make repetition safe.
    pub(crate) async fn append(&mut self, batch: &Batch, deadline: Instant) -> Result<Outcome, NoResult> {
        let mut pause = BACKOFF.first;
        loop {
            let error = match timeout_at(deadline, self.attempt(batch)).await {
                Ok(Ok(Some(verdict))) => return Ok(verdict),
                Ok(Ok(None)) => return Err(NoResult::Unknown("the log has lost a tenant's key".to_owned())),
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

    /// Sends a batch. `None`: the log has lost the key of a tenant under which something in it is encrypted.
    async fn attempt(&mut self, batch: &Batch) -> Result<Option<Outcome>, sqlx::Error> {
        let connection = if let Some(connection) = self.connection.take() {
            self.connection.insert(connection)
        } else {
            let connection = self.connect().await?;
            self.connection.insert(connection)
        };
        if let Some(replaced) = self.replaced
            && !has_keys(connection, batch, replaced).await?
        {
            return Ok(None);
        }
        statement::append(connection, batch).await.map(Some)
    }

    /// Connects, and makes sure that the server process of the lost connection has ended: otherwise it could still write a batch after a
    /// caller was told that it failed. As long as that process does not end (its disk hangs, for instance), nothing is sent over the new
    /// connection.
    async fn connect(&mut self) -> Result<PgConnection, sqlx::Error> {
        let mut connection = self.options.connect().await?;
        if let Some((pid, started)) = self.backend {
            // It may be another server, which lacks the end of the log.
            self.keyring.doubt();
            self.replaced = Some(std::time::Instant::now());
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
        }
        self.backend = sqlx::query_as("SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()")
            .fetch_optional(&mut connection)
            .await?;
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

/// Whether the log has the tenants' keys under which the new keys in a batch were encrypted, as far as that was done before the connection was
/// replaced.
async fn has_keys(
    connection: &mut PgConnection,
    batch: &Batch,
    replaced: std::time::Instant,
) -> Result<bool, sqlx::Error> {
    let sealed_before = batch.appends.iter().filter(|pending| pending.since < replaced + SEALING);
    let appends = sealed_before.map(|pending| &pending.append);
    let brings_key = appends
        .filter(|append| append.claims.iter().any(|claim| claim.kind == PERSON_KEY && claim.act != ClaimAct::Release));
    let tenants: BTreeSet<Uuid> = brings_key.map(|append| append.tenant.uuid()).collect();
    if tenants.is_empty() {
        return Ok(true);
    }
    sqlx::query_scalar(
        "SELECT NOT EXISTS (
             SELECT FROM unnest($1::uuid[]) AS t (id)
             WHERE NOT EXISTS (SELECT FROM log.holders(t.id, $2, ARRAY[$3::bytea])))",
    )
    .bind(tenants.into_iter().collect::<Vec<_>>())
    .bind(TENANT_KEY)
    .bind(ONLY_KEY.as_slice())
    .fetch_one(connection)
    .await
}
