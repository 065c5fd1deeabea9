//! The coordinator: runs a service's sagas. Only one coordinator per service is active, by an advisory lock; the others stand by.

use std::sync::Arc;
use std::time::Duration;

use eventstore::{Database, EventStore, Lock, LockKey, PoolUse, Role};
use kernel::Clock;
use nats::Bus;
use sqlx::PgPool;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::gauges::{COUNTED, dead_letters, instances};
use crate::repository::Repository;
use crate::sagas::Sagas;
use crate::status::{CoordinatorState, CoordinatorStatus};
use crate::{Error, NoProbe, Probe, Settings, driver, follower, rows};

/// Database connections that the follower and the driver share.
const CONNECTIONS: u32 = 4;
/// After this time the server ends a transaction that is idle, so that a hanging process does not lock a tenant's rows for ever. It is far
/// longer than a saga takes to decide whether an event starts it.
const IDLE_TIMEOUT: &str = "30s";
/// The interval at which instances are counted for metrics.
const COUNT_INTERVAL: Duration = Duration::from_secs(5);

/// The coordinator of one service. Clones share its status.
#[derive(Clone)]
pub struct Coordinator {
    pub(crate) shared: Arc<Shared>,
    database: Database,
}

/// What the follower and the driver share.
pub(crate) struct Shared {
    pub(crate) sagas: Sagas,
    pub(crate) repository: Arc<dyn Repository>,
    pub(crate) store: EventStore,
    pub(crate) bus: Option<Bus>,
    pub(crate) pool: PgPool,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) settings: Settings,
    pub(crate) probe: Arc<dyn Probe>,
    /// Wakes the driver: a timer may be due earlier than it knows.
    pub(crate) woken: Arc<Notify>,
    pub(crate) status: watch::Sender<CoordinatorStatus>,
}

impl Coordinator {
    /// Creates a coordinator; it does nothing before [`run`](Self::run). Without a bus it reads only the log.
    pub fn new(
        database: &Database,
        store: EventStore,
        bus: Option<Bus>,
        sagas: Sagas,
        repository: Arc<dyn Repository>,
        clock: Arc<dyn Clock>,
        settings: Settings,
    ) -> Self {
        let shared = Shared {
            sagas,
            repository,
            store,
            bus,
            pool: database.pool_with(
                Role::Project,
                CONNECTIONS,
                &[("idle_in_transaction_session_timeout", IDLE_TIMEOUT)],
            ),
            clock,
            settings,
            probe: Arc::new(NoProbe),
            woken: Arc::default(),
            status: watch::Sender::default(),
        };
        Self { shared: Arc::new(shared), database: database.clone() }
    }

    /// The same coordinator with a probe, for tests.
    #[must_use]
    pub fn with_probe(mut self, probe: Arc<dyn Probe>) -> Self {
        if let Some(shared) = Arc::get_mut(&mut self.shared) {
            shared.probe = probe;
        }
        self
    }

    /// The usage of the connection pool.
    pub fn pool(&self) -> PoolUse {
        PoolUse::of("coordinate", &self.shared.pool)
    }

    /// The coordinator's status; the receiver sees each change.
    pub fn status(&self) -> watch::Receiver<CoordinatorStatus> {
        self.shared.status.subscribe()
    }

    /// Notifying this makes the driver check again what is due. For tests that set the clock by hand.
    pub fn waker(&self) -> Arc<Notify> {
        self.shared.woken.clone()
    }

    /// Runs until `shutdown`. Tolerates outages of the database and the bus. It may be stopped at any point, without a clean shutdown:
    /// another coordinator continues the work.
    pub async fn run(self, shutdown: CancellationToken) {
        let service = self.shared.sagas.service();
        let mut lock = Lock::new(&self.database, Role::Project, LockKey::Coordinator);
        while !shutdown.is_cancelled() {
            let acquired = tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                acquired = lock.acquire() => acquired,
            };
            match acquired {
                Ok(true) => {}
                Ok(false) => self.report(CoordinatorState::Standby),
                Err(ref error) => self.report(CoordinatorState::Waiting { reason: format!("the database: {error}") }),
            }
            if !matches!(acquired, Ok(true)) {
                shutdown.run_until_cancelled(tokio::time::sleep(self.shared.settings.stand_by)).await;
                continue;
            }
            tracing::info!(%service, "the coordinator of sagas is active");
            let ended = tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                () = lock.lost() => Ok(()),
                error = follower::run(&self.shared) => Err(error),
                () = driver::run(&self.shared) => Ok(()),
                () = self.count() => Ok(()),
            };
            self.reset_gauges();
            if let Err(error) = ended {
                tracing::warn!(%service, %error, "sagas wait and are tried again");
                self.report(CoordinatorState::Waiting { reason: error.to_string() });
                // `Overtaken`: another coordinator is active, so it has the lock, or we lost it. `NotMigrated`: the tables have another
                // program's form; a coordinator of that program may be able to continue with them.
                if matches!(error, Error::Overtaken | Error::NotMigrated) {
                    lock.release().await;
                }
                shutdown.run_until_cancelled(tokio::time::sleep(self.shared.settings.stand_by)).await;
            }
        }
        lock.release().await;
        self.shared.pool.close().await;
        self.report(CoordinatorState::Ended);
    }

    fn report(&self, state: CoordinatorState) {
        self.shared.status.send_if_modified(|status| {
            let new = status.state != state;
            status.state = state;
            new
        });
    }

    /// Sets this process's gauges to zero when it stops being active. The next active coordinator reports the counts; without this, our
    /// last values would stay beside them.
    fn reset_gauges(&self) {
        let service = self.shared.sagas.service().name();
        for definition in self.shared.sagas.newest() {
            for status in COUNTED {
                instances(service, definition.name, status).set(0.0);
            }
            dead_letters(service, definition.name).set(0.0);
        }
    }

    /// Counts instances for metrics and status. Never returns.
    async fn count(&self) {
        let service = self.shared.sagas.service().name();
        loop {
            if let Ok(mut connection) = self.shared.pool.acquire().await
                && let Ok(mut counts) = rows::counts(&mut connection).await
            {
                // An instance whose definition this program does not have can't continue, so it counts as stuck.
                for one in &mut counts {
                    if self.shared.sagas.find(&one.saga, one.definition).is_none() {
                        one.status = crate::Status::Stuck;
                    }
                }
                for definition in self.shared.sagas.newest() {
                    for status in COUNTED {
                        let of = counts.iter().filter(|one| one.saga == definition.name && one.status == status);
                        let count: i64 = of.map(|one| one.instances).sum();
                        instances(service, definition.name, status).set(count as f64);
                    }
                }
                let stuck = counts.iter().filter(|one| one.status == crate::Status::Stuck);
                let stuck = stuck.map(|one| one.instances.cast_unsigned()).sum();
                self.shared.status.send_modify(|status| status.stuck = stuck);
            }
            tokio::time::sleep(COUNT_INTERVAL).await;
        }
    }
}
