//! Publishes changes of dead letters on the bus (stream `DEAD_LETTERS`). Also deletes what is no longer needed: stored answers to repeated
//! requests, and letters that are over.

use std::time::Duration;

use eventstore::{Database, Lock, LockKey, PoolUse, Role};
use kernel::{ANSWER_RETENTION, ANSWER_SWEEP_INTERVAL, Position, Service, TenantId};
use nats::{Bus, DeadLetterNews};
use sqlx::postgres::PgRow;
use sqlx::{PgPool, Row};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{Consumer, LetterId};

/// The polling interval. Consumers of the stream do not need changes within a second.
const LOOK: Duration = Duration::from_secs(2);
/// How long letters that were applied or discarded are kept for viewing.
const KEPT: Duration = Duration::from_hours(30 * 24);
/// The maximum number of changes that are published in a row.
const TOGETHER: i64 = 100;

/// Publishes the changes of a service's dead letters. Only one publisher per service is active.
#[derive(Clone)]
pub struct Publisher {
    database: Database,
    pool: PgPool,
    bus: Bus,
    replicas: usize,
}

impl Publisher {
    /// Creates a publisher; it does nothing before [`run`](Self::run). `replicas`: the number of copies of the stream in a cluster.
    pub fn new(database: &Database, bus: Bus, replicas: usize) -> Self {
        Self { database: database.clone(), pool: database.pool(Role::Project, 1), bus, replicas }
    }

    /// The usage of the connection pool.
    pub fn pool(&self) -> PoolUse {
        PoolUse::of("publish", &self.pool)
    }

    /// Runs until `shutdown`. Tolerates outages of the database and the bus: what could not be published is published later.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut lock = Lock::new(&self.database, Role::Project, LockKey::DeadLetterPublisher);
        let mut ready = false;
        let mut swept: Option<Instant> = None;
        while !shutdown.is_cancelled() {
            let active = lock.held().await || lock.acquire().await.unwrap_or(false);
            if active && self.bus.connected() {
                ready = match self.tell(ready).await {
                    Ok(()) => true,
                    Err(error) => {
                        tracing::debug!(error, "dead letters are told of later");
                        false
                    }
                };
            }
            if active && swept.is_none_or(|at| at.elapsed() >= ANSWER_SWEEP_INTERVAL) {
                match self.sweep().await {
                    Ok(()) => swept = Some(Instant::now()),
                    Err(error) => tracing::debug!(%error, "requests and letters of long ago are forgotten later"),
                }
            }
            shutdown.run_until_cancelled(tokio::time::sleep(LOOK)).await;
        }
        lock.release().await;
        self.pool.close().await;
    }

    /// Publishes all changes, in order. After a crash, some that the bus has already are published again under the same message id, so that
    /// the bus recognizes them as duplicates.
    async fn tell(&self, ready: bool) -> Result<(), String> {
        let said = |error: &dyn std::fmt::Display| error.to_string();
        loop {
            let rows = sqlx::query(
                "SELECT tenant_id, change, message_id, at, consumer, position, aggregate_type, aggregate_id, event_type, state,
                        attempts
                 FROM dead.changes ORDER BY change LIMIT $1",
            )
            .bind(TOGETHER)
            .fetch_all(&self.pool)
            .await
            .map_err(|error| said(&error))?;
            if rows.is_empty() {
                return Ok(());
            }
            if !ready {
                self.bus.ensure_dead_letters(self.replicas).await.map_err(|error| said(&error))?;
            }
            for row in &rows {
                let (change, news) = news(row).map_err(|error| said(&error))?;
                self.publish(&news).await?;
                sqlx::query("DELETE FROM dead.changes WHERE tenant_id = $1 AND change = $2")
                    .bind(news.tenant.uuid())
                    .bind(change)
                    .execute(&self.pool)
                    .await
                    .map_err(|error| said(&error))?;
            }
        }
    }

    /// Deletes stored answers and letters of long ago, those of all consumers: one may run for months, or not exist any more.
    async fn sweep(&self) -> Result<(), sqlx::Error> {
        sqlx::query("DELETE FROM dead.commands WHERE recorded_at < now() - $1")
            .bind(ANSWER_RETENTION)
            .execute(&self.pool)
            .await?;
        // Reads the whole index of letters that are over, which begins with the consumer. There are few.
        sqlx::query(
            "WITH gone AS (
                 DELETE FROM dead.letters WHERE state IN ('applied', 'discarded') AND changed_at < now() - $1
                 RETURNING tenant_id, consumer, position)
             DELETE FROM dead.attempts a USING gone
             WHERE a.tenant_id = gone.tenant_id AND a.consumer = gone.consumer AND a.position = gone.position",
        )
        .bind(KEPT)
        .execute(&self.pool)
        .await
        .map(drop)
    }

    async fn publish(&self, news: &DeadLetterNews) -> Result<(), String> {
        let service: Service = self.database.service;
        self.bus.publish_dead_letter(service, news).await.map_err(|error| error.to_string())
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the tenant of an event of the log, where only authenticated callers wrote"
)]
fn news(row: &PgRow) -> Result<(i64, DeadLetterNews), sqlx::Error> {
    let consumer: String = row.try_get("consumer")?;
    let position = Position::from_i64(row.try_get("position")?);
    let whose: Consumer = consumer.parse().map_err(|error: String| sqlx::Error::Decode(error.into()))?;
    let news = DeadLetterNews {
        message: row.try_get("message_id")?,
        tenant: TenantId::vouched(row.try_get("tenant_id")?),
        at: row.try_get("at")?,
        id: LetterId { consumer: whose, position }.to_string(),
        consumer,
        position: position.0,
        aggregate_type: row.try_get("aggregate_type")?,
        aggregate_id: row.try_get("aggregate_id")?,
        event_type: row.try_get("event_type")?,
        state: row.try_get("state")?,
        attempts: row.try_get::<i32, _>("attempts")?.cast_unsigned(),
    };
    Ok((row.try_get("change")?, news))
}
