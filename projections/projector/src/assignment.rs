//! The assignment of partitions to instances: how many partitions each projection has, which of them are taken, and how many instances
//! share them. Nobody assigns them: a partition is taken by an advisory lock, and each instance watches the locks and keeps to its share.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use eventstore::{Database, LockClass, Role, lock_options};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, PgConnection, Row};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::Projection;

/// What the database says of a projection: its partitions, and who shares them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Assignment {
    /// The version that its tables have; none: it has no tables.
    pub(crate) version: Option<u32>,
    /// Whether each of its partitions is applied by some instance.
    pub(crate) taken: Vec<bool>,
    /// How many instances can apply it, this one included.
    pub(crate) instances: u32,
}

impl Assignment {
    /// How many partitions it has.
    pub(crate) const fn partitions(&self) -> u32 {
        self.taken.len() as u32
    }

    /// How many partitions an instance takes, so that all get some.
    pub(crate) fn share(&self) -> usize {
        self.taken.len().div_ceil(self.instances.max(1) as usize)
    }
}

/// What the database says of each projection, in the order of the program's list. Empty until it was asked once.
pub(crate) type Assignments = Arc<Vec<Assignment>>;

/// The lock of a partition, as text that is hashed to a key. A projection that is not divided is locked by its name.
pub(crate) const LOCK_NAME: &str =
    "projection || CASE partitions WHEN 1 THEN '' ELSE '/' || partition || '/' || partitions END";

/// Asks the database for the assignments again and again, and tells all workers each time; shows others that this instance is here.
pub(crate) struct AssignmentWatcher {
    database: Database,
    projections: Vec<Arc<dyn Projection>>,
    every: Duration,
    /// Projections for which we are present, on the present connection.
    present: HashSet<&'static str>,
    assignments: watch::Sender<Assignments>,
}

impl AssignmentWatcher {
    pub(crate) fn new(database: &Database, projections: Vec<Arc<dyn Projection>>, every: Duration) -> Self {
        let assignments = watch::Sender::new(Assignments::default());
        Self { database: database.clone(), projections, every, present: HashSet::new(), assignments }
    }

    /// What it finds, from the next time on.
    pub(crate) fn assignments(&self) -> watch::Receiver<Assignments> {
        self.assignments.subscribe()
    }

    pub(crate) async fn run(mut self, shutdown: CancellationToken) {
        let running = async {
            loop {
                let Err(error) = self.follow().await else { continue };
                tracing::warn!(service = %self.database.service, %error, "who applies which projection is not known; asking again");
                tokio::time::sleep(self.every).await;
            }
        };
        shutdown.run_until_cancelled(running).await;
    }

    async fn follow(&mut self) -> Result<(), sqlx::Error> {
        self.present.clear();
        let mut connection = options(&self.database).connect().await?;
        loop {
            let mut assignments = self.ask(&mut connection).await?;
            if self.appear(&mut connection, &assignments).await? {
                assignments = self.ask(&mut connection).await?;
            }
            self.assignments.send_replace(Arc::new(assignments));
            tokio::time::sleep(self.every).await;
        }
    }

    async fn ask(&self, connection: &mut PgConnection) -> Result<Vec<Assignment>, sqlx::Error> {
        let names: Vec<&str> = self.projections.iter().map(|projection| projection.name()).collect();
        // The locks of this database, once; their keys are shown as unsigned numbers.
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

    /// Shows others for which divided projections we are here, and for which no more. Whether that changed.
    async fn appear(&mut self, connection: &mut PgConnection, assignments: &[Assignment]) -> Result<bool, sqlx::Error> {
        let mut changed = false;
        for (projection, assignment) in self.projections.iter().zip(assignments) {
            // Alone with one partition there is nothing to share.
            let able = assignment.version == Some(projection.version()) && assignment.partitions() > 1;
            let name = projection.name();
            let act = match (able, self.present.contains(name)) {
                (true, false) => "SELECT pg_advisory_lock_shared($1, hashtext($2))",
                (false, true) => "SELECT pg_advisory_unlock_shared($1, hashtext($2))",
                _ => continue,
            };
            sqlx::query(act).bind(LockClass::ProjectionPresent.number()).bind(name).execute(&mut *connection).await?;
            if able {
                self.present.insert(name);
            } else {
                self.present.remove(name);
            }
            changed = true;
        }
        Ok(changed)
    }
}

/// A connection that the server gives up soon when our machine is gone, or our process hangs, so that its locks go to another.
pub(crate) fn options(database: &Database) -> PgConnectOptions {
    lock_options(database, Role::Project).disable_statement_logging().options([
        ("tcp_keepalives_idle", "2"),
        ("tcp_keepalives_interval", "1"),
        ("tcp_keepalives_count", "2"),
    ])
}
