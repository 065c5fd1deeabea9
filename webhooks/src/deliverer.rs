//! The deliverer of a service's webhooks. One process is active, and runs a worker for each endpoint.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use eventstore::{EventStore, Lock, LockKey, Role, SuspendedTenants, panics_of, supervised};
use futures::stream::{BoxStream, StreamExt};
use kernel::{ANSWER_RETENTION, ANSWER_SWEEP_INTERVAL, Position, TenantId, TypePatterns};
use sqlx::Row;
use sqlx::postgres::PgRow;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::notices::{Notices, Notifier};
use crate::slots::SendSlots;
use crate::worker::{Shared, Target, Waiting, Worker};
use crate::{Secret, Webhooks};

/// How often a standby deliverer tries to become active, and the active one checks that it still has the lock.
const LOOK: Duration = Duration::from_secs(1);

/// Delivers a service's events to its tenants' webhooks. Only one deliverer per service is active, by an advisory lock.
#[derive(Clone)]
pub struct Deliverer {
    webhooks: Webhooks,
    store: EventStore,
    notices: Option<Arc<dyn Notices>>,
    paused: SuspendedTenants,
}

/// A worker that is running.
struct Running {
    version: i64,
    generation: i64,
    stop: CancellationToken,
    task: tokio::task::Id,
}

impl Deliverer {
    /// Creates a deliverer; it does nothing before [`run`](Self::run).
    pub fn new(webhooks: Webhooks, store: EventStore) -> Self {
        metrics::describe_counter!(
            "inopsio_webhook_deliveries_total",
            "Attempts to deliver an event to a webhook, by result"
        );
        metrics::describe_histogram!("inopsio_webhook_delivery_seconds", "Response time of webhook receivers");
        Self { webhooks, store, notices: None, paused: SuspendedTenants::nobody() }
    }

    /// The same deliverer; it also notifies tenants of webhooks that were disabled automatically.
    #[must_use]
    pub fn telling(self, notices: Arc<dyn Notices>) -> Self {
        Self { notices: Some(notices), ..self }
    }

    /// The same deliverer; it delivers nothing to the webhooks of these tenants, and to nobody as long as they are not known. Webhooks
    /// continue from their cursors when their tenant is not among them any more.
    #[must_use]
    pub fn pausing(self, paused: SuspendedTenants) -> Self {
        Self { paused, ..self }
    }

    /// Runs until `shutdown`. Tolerates outages of the database and the bus.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut lock = Lock::new(self.store.database(), Role::Deliver, LockKey::Deliverer);
        while !shutdown.is_cancelled() {
            match lock.acquire().await {
                Ok(true) => {
                    tracing::debug!(service = %self.store.service(), "webhooks are delivered from here");
                    self.deliver(&mut lock, &shutdown).await;
                }
                Ok(false) => {}
                Err(error) => tracing::debug!(%error, "webhooks wait for the database"),
            }
            shutdown.run_until_cancelled(tokio::time::sleep(LOOK)).await;
        }
        lock.release().await;
    }

    /// Delivers until the lock is lost.
    async fn deliver(&self, lock: &mut Lock, shutdown: &CancellationToken) {
        let settings = self.webhooks.parts().settings;
        let (decided, received) = watch::channel(());
        let (head, log_head) = watch::channel(Position::START);
        let shared = Arc::new(Shared {
            webhooks: self.webhooks.clone(),
            store: self.store.clone(),
            slots: SendSlots::new(settings.sending, settings.sending_of_tenant),
            decided: received,
            log_head,
            paused: self.paused.clone(),
            waiting_for: Waiting::default(),
        });
        let stop = shutdown.child_token();
        let (service, bus) = (self.store.service(), self.webhooks.parts().bus.clone());
        let mut beside = JoinSet::new();
        let forwarding = move |stop| deadletters::forward_decisions(bus.clone(), service, decided.clone(), stop);
        beside.spawn(supervised(format!("webhooks/{service}/decisions"), stop.clone(), forwarding));
        let (watching, every) = (shared.clone(), settings.poll_interval);
        let looking = move |stop| watch_log(watching.clone(), head.clone(), every, stop);
        beside.spawn(supervised(format!("webhooks/{service}/log"), stop.clone(), looking));
        if let Some(notices) = self.notices.clone() {
            let notifier = Notifier { webhooks: self.webhooks.clone(), notices };
            let notifying = move |stop| notifier.clone().run(stop);
            beside.spawn(supervised(format!("webhooks/{service}/notices"), stop.clone(), notifying));
        }
        let panics = panics_of(&format!("webhooks/{service}/workers"));
        let mut workers = JoinSet::new();
        let mut running: HashMap<Uuid, Running> = HashMap::new();
        let mut wakes = self.wakes().await;
        let mut paused = self.paused.clone();
        let mut polled = Instant::now();
        let mut last_sweep: Option<Instant> = None;
        let mut changed = true;
        while !stop.is_cancelled() && lock.held().await {
            if changed || polled.elapsed() >= settings.poll_interval {
                match self.targets().await {
                    Ok(mut targets) => {
                        targets.retain(|target| !paused.contains(target.tenant));
                        reconcile(targets, &shared, &stop, &mut running, &mut workers);
                    }
                    Err(error) => shared.waiting_for.tables(&error),
                }
                self.sweep(&mut last_sweep).await;
                polled = Instant::now();
            }
            changed = tokio::select! {
                () = stop.cancelled() => false,
                Some(()) = wakes.next() => true,
                () = paused.changed() => true,
                Some(ended) = workers.join_next(), if !workers.is_empty() => match ended {
                    // The worker ended because its endpoint was changed: start the next worker now, if the endpoint is enabled.
                    Ok(id) => {
                        running.remove(&id);
                        true
                    }
                    // A mistake in our code: start the worker again only at the next poll, so that it does not panic in a tight loop.
                    Err(error) => {
                        tracing::error!(%error, "a webhook's worker panicked");
                        panics.increment(1);
                        running.retain(|_, now| now.task != error.id());
                        false
                    }
                },
                () = tokio::time::sleep(LOOK) => false,
            };
        }
        stop.cancel();
        while workers.join_next().await.is_some() {}
        while beside.join_next().await.is_some() {}
    }

    /// All enabled endpoints.
    async fn targets(&self) -> Result<Vec<Target>, sqlx::Error> {
        let parts = self.webhooks.parts();
        // Delete former secrets that have expired.
        sqlx::query("UPDATE webhooks.endpoints SET former_secret = NULL, former_until = NULL WHERE former_until <= $1")
            .bind(parts.clock.now())
            .execute(parts.deliver)
            .await?;
        let rows = sqlx::query(
            "SELECT e.tenant_id, e.endpoint_id, e.version, e.url, e.types, e.secret, e.former_secret, e.former_until,
                    c.generation, c.position, c.attempts, c.failing_since, c.next_attempt_at
             FROM webhooks.endpoints e JOIN webhooks.cursors c USING (tenant_id, endpoint_id)
             WHERE e.enabled",
        )
        .fetch_all(parts.deliver)
        .await?;
        rows.iter().map(target).collect()
    }

    /// From time to time, deletes stored answers that are no longer needed for repeated requests. A failure is only logged: if the tables
    /// are those of an earlier program, this waits for `inopsio migrate`.
    async fn sweep(&self, last_sweep: &mut Option<Instant>) {
        if last_sweep.is_some_and(|at| at.elapsed() < ANSWER_SWEEP_INTERVAL) {
            return;
        }
        let parts = self.webhooks.parts();
        let removed = sqlx::query("DELETE FROM webhooks.commands WHERE recorded_at < $1")
            .bind(parts.clock.now() - ANSWER_RETENTION)
            .execute(parts.deliver)
            .await;
        match removed {
            Ok(_) => *last_sweep = Some(Instant::now()),
            Err(error) => tracing::debug!(%error, "requests of long ago are forgotten later"),
        }
    }

    /// Wake-ups from other processes after changes of endpoints. Without the bus there are none, and the deliverer depends on polling.
    async fn wakes(&self) -> BoxStream<'static, ()> {
        match self.webhooks.parts().bus.webhook_wakes(self.store.service()).await {
            Ok(wakes) => wakes.chain(futures::stream::pending()).boxed(),
            Err(_) => futures::stream::pending().boxed(),
        }
    }
}

/// Tells the workers where the log ends, in case the bus does not announce events: once for all of them. This is not done by the loop that
/// keeps the lock, which is lost if the log makes that wait for some seconds.
async fn watch_log(shared: Arc<Shared>, head: watch::Sender<Position>, every: Duration, stop: CancellationToken) {
    while let Some(read) = stop.run_until_cancelled(shared.store.head()).await {
        match read {
            Ok(now) => _ = head.send_replace(now),
            Err(error) => shared.waiting_for.log(&error),
        }
        stop.run_until_cancelled(tokio::time::sleep(every)).await;
    }
}

/// Starts and stops workers so that there is one for each endpoint's current configuration. A worker that is replaced has to end first, so
/// that two never send at the same time, and the order is kept.
fn reconcile(
    targets: Vec<Target>,
    shared: &Arc<Shared>,
    stop: &CancellationToken,
    running: &mut HashMap<Uuid, Running>,
    workers: &mut JoinSet<Uuid>,
) {
    let wanted: HashMap<Uuid, Target> = targets.into_iter().map(|target| (target.id, target)).collect();
    for (id, now) in &*running {
        let same =
            wanted.get(id).is_some_and(|target| target.version == now.version && target.generation == now.generation);
        if !same {
            now.stop.cancel();
        }
    }
    for (id, target) in wanted {
        running.entry(id).or_insert_with(|| {
            let (version, generation, stop) = (target.version, target.generation, stop.child_token());
            let worker = Worker::new(target, shared.clone(), stop.clone());
            let task = workers.spawn(async move {
                worker.run().await;
                id
            });
            Running { version, generation, stop, task: task.id() }
        });
    }
}

#[expect(clippy::disallowed_methods, reason = "the tenant of an endpoint that an authenticated caller set up")]
fn target(row: &PgRow) -> Result<Target, sqlx::Error> {
    let former: Option<Vec<u8>> = row.try_get("former_secret")?;
    Ok(Target {
        tenant: TenantId::vouched(row.try_get("tenant_id")?),
        id: row.try_get("endpoint_id")?,
        url: row.try_get("url")?,
        types: TypePatterns::stored(row.try_get("types")?),
        secret: Secret::from_bytes(row.try_get("secret")?),
        former: former.map(Secret::from_bytes).zip(row.try_get("former_until")?),
        version: row.try_get("version")?,
        generation: row.try_get("generation")?,
        position: Position::from_i64(row.try_get("position")?),
        attempts: row.try_get::<i32, _>("attempts")?.cast_unsigned(),
        failing_since: row.try_get("failing_since")?,
        next_attempt_at: row.try_get("next_attempt_at")?,
    })
}
