//! The assignment of partitions to instances: how many partitions each projection has, which of them are taken, and how many instances
//! share them. There is no leader that assigns them. An instance takes a partition by an advisory lock, watches the locks of the others,
//! and keeps to its share.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use eventstore::{Database, LockClass, Role, Seldom, lock_options, within};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, PgConnection, Row};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::Projection;

/// How long the server may take for a query that waits for nothing there. Then it is taken for gone, and we connect again.
pub(crate) const ANSWER: Duration = Duration::from_secs(10);

/// The partitions of a projection, and the number of instances that share them, as the database shows them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Assignment {
    /// The version of its tables; `None` when it has no tables.
    pub(crate) version: Option<u32>,
    /// For each partition, whether an instance applies it.
    pub(crate) taken: Vec<bool>,
    /// How many instances can apply it, this one included.
    pub(crate) instances: u32,
}

impl Assignment {
    /// How many partitions it has.
    pub(crate) const fn partitions(&self) -> u32 {
        self.taken.len() as u32
    }

    /// How many partitions each instance takes: an equal share, rounded up.
    pub(crate) fn share(&self) -> usize {
        self.taken.len().div_ceil(self.instances.max(1) as usize)
    }
}

/// The assignment of each projection, in the order of the program's list. Empty until the first query.
pub(crate) type Assignments = Arc<Vec<Assignment>>;

/// SQL for the name of a partition's advisory lock, which is hashed to the lock's key. A projection with one partition is locked by its own
/// name.
pub(crate) const LOCK_NAME: &str =
    "projection || CASE partitions WHEN 1 THEN '' ELSE '/' || partition || '/' || partitions END";

/// Queries the assignments at an interval and publishes them to all workers. It also announces this instance to the others, by a shared
/// advisory lock for each projection that has several partitions.
#[derive(Clone)]
pub(crate) struct AssignmentWatcher {
    database: Database,
    projections: Vec<Arc<dyn Projection>>,
    every: Duration,
    /// Projections for which the current connection holds the lock that announces this instance.
    announced: HashSet<&'static str>,
    assignments: watch::Sender<Assignments>,
}

impl AssignmentWatcher {
    pub(crate) fn new(database: &Database, projections: Vec<Arc<dyn Projection>>, every: Duration) -> Self {
        let assignments = watch::Sender::new(Assignments::default());
        Self { database: database.clone(), projections, every, announced: HashSet::new(), assignments }
    }

    /// A receiver of the assignments, which is updated after each query.
    pub(crate) fn assignments(&self) -> watch::Receiver<Assignments> {
        self.assignments.subscribe()
    }

    /// Runs until `shutdown`; after an error it connects again.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) {
        let seldom = Seldom::default();
        let running = async {
            loop {
                let Err(error) = self.watch().await else { continue };
                if seldom.is_due() {
                    tracing::warn!(service = %self.database.service, %error, "who applies which projection is not known; asking again");
                }
                tokio::time::sleep(self.every).await;
            }
        };
        shutdown.run_until_cancelled(running).await;
    }

    /// Queries and publishes the assignments on one connection until an error.
    async fn watch(&mut self) -> Result<(), sqlx::Error> {
        self.announced.clear();
        let mut connection = within(ANSWER, options(&self.database).connect()).await?;
        loop {
            let mut assignments = within(ANSWER, self.query(&mut connection)).await?;
            if within(ANSWER, self.announce(&mut connection, &assignments)).await? {
                assignments = within(ANSWER, self.query(&mut connection)).await?;
            }
            self.assignments.send_replace(Arc::new(assignments));
            tokio::time::sleep(self.every).await;
        }
    }

    /// Queries the assignments.
    async fn query(&self, connection: &mut PgConnection) -> Result<Vec<Assignment>, sqlx::Error> {
        let names: Vec<&str> = self.projections.iter().map(|projection| projection.name()).collect();
        // MATERIALIZED, so that pg_locks is read once. It shows the keys as unsigned numbers.
        let query = format!(
            "WITH held AS MATERIALIZED (
                 SELECT l.classid::bigint AS class, l.objid::bigint AS key FROM pg_locks l
                 WHERE l.locktype = 'advisory' AND l.objsubid = 2 AND l.granted
                   AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
             )
             SELECT p.n - 1 AS n, c.version,
                    EXISTS (SELECT FROM held
                            WHERE class = $2 AND key = hashtext({LOCK_NAME})::bigint & 4294967295) AS taken,
                    (SELECT count(*) FROM held
                     WHERE class = $3 AND key = hashtext(c.projection)::bigint & 4294967295) AS instances
             FROM unnest($1::text[]) WITH ORDINALITY AS p (name, n)
             JOIN projector.checkpoints c ON c.projection = p.name
             ORDER BY p.n, c.partition"
        );
        let rows = sqlx::query(&query)
            .bind(&names)
            .bind(i64::from(LockClass::Projection.number()))
            .bind(i64::from(LockClass::ProjectionPresent.number()))
            .fetch_all(connection)
            .await?;
        let mut assignments = vec![Assignment::default(); names.len()];
        for row in rows {
            let nth = usize::try_from(row.try_get::<i64, _>("n")?).unwrap_or(usize::MAX);
            let Some(assignment) = assignments.get_mut(nth) else { continue };
            assignment.version = Some(u32::try_from(row.try_get::<i64, _>("version")?).unwrap_or(u32::MAX));
            assignment.taken.push(row.try_get("taken")?);
            assignment.instances = u32::try_from(row.try_get::<i64, _>("instances")?).unwrap_or(u32::MAX);
        }
        Ok(assignments)
    }

    /// Takes or releases the shared locks that announce this instance for projections with several partitions. Returns whether any changed.
    async fn announce(
        &mut self,
        connection: &mut PgConnection,
        assignments: &[Assignment],
    ) -> Result<bool, sqlx::Error> {
        let mut changed = false;
        for (projection, assignment) in self.projections.iter().zip(assignments) {
            // A single partition cannot be shared.
            let able = assignment.version == Some(projection.version()) && assignment.partitions() > 1;
            let name = projection.name();
            let act = match (able, self.announced.contains(name)) {
                (true, false) => "SELECT pg_advisory_lock_shared($1, hashtext($2))",
                (false, true) => "SELECT pg_advisory_unlock_shared($1, hashtext($2))",
                _ => continue,
            };
            sqlx::query(act).bind(LockClass::ProjectionPresent.number()).bind(name).execute(&mut *connection).await?;
            if able {
                self.announced.insert(name);
            } else {
                self.announced.remove(name);
            }
            changed = true;
        }
        Ok(changed)
    }
}

/// Connection options with which the server soon notices that our machine is gone or our process hangs. It then closes the connection, and
/// another instance can take its locks.
pub(crate) fn options(database: &Database) -> PgConnectOptions {
    lock_options(database, Role::Project).disable_statement_logging().options([
        ("tcp_keepalives_idle", "2"),
        ("tcp_keepalives_interval", "1"),
        ("tcp_keepalives_count", "2"),
    ])
}
