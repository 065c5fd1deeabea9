//! Building a projection's tables from the log in a shadow schema, beside the live ones. Rebuilds and comparisons use it.

use std::collections::BTreeSet;
use std::time::Duration;

use deadletters::{Decisions, Part};
use eventstore::{Database, EventSlice, EventStore, LockClass, resume_panic};
use kernel::{Position, RecordedEvent, TenantId};
use sqlx::{Connection, Executor, PgConnection};
use tokio::sync::mpsc;
use tokio::time::Instant;
use uuid::Uuid;

use crate::applying::{self, Failure};
use crate::checkpoint::Checkpoint;
use crate::parking::{self, Parked, ParkedEvent};
use crate::partition::{Partition, Reached};
use crate::{Error, Projection, tables, writing};

/// The number of events that are read from the log at once and applied in one transaction; fewer if they are large. Larger batches gain
/// nothing, because the rows take the time.
const BATCH: u32 = 10_000;
/// The tables are analyzed after this many events, and again at each fourfold number.
const FIRST_ANALYZE: u64 = 20_000;
/// How long to try to get the lock before another build is reported as running.
const LOCK_TIMEOUT: Duration = Duration::from_secs(1);
/// Stands for the end of the log.
pub(crate) const END: Position = Position(i64::MAX as u64);

/// The state of a build: its tables, position and parked events.
pub(crate) struct Build<'p> {
    pub(crate) projection: &'p dyn Projection,
    /// Operators' decisions about events that were parked. They are respected in the build.
    decisions: Decisions,
    pub(crate) schema: String,
    pub(crate) parked: Parked,
    /// The parked events, which are stored with the swap.
    pub(crate) found: Vec<ParkedEvent>,
    pub(crate) position: Position,
    pub(crate) events: u64,
    /// The tenants that have events.
    pub(crate) tenants: BTreeSet<TenantId>,
    /// Deleted tenants: their events, which are still in the log, are not applied.
    deleted: BTreeSet<Uuid>,
    /// The statements that create the plain indexes, for after the tables are filled.
    indexes: Vec<String>,
}

/// Tries to take the advisory lock of builds of this projection, which the connection then holds.
async fn try_lock(connection: &mut PgConnection, projection: &dyn Projection) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("SELECT pg_try_advisory_lock($1, hashtext($2))")
        .bind(LockClass::ProjectionBuild.number())
        .bind(projection.name())
        .fetch_one(connection)
        .await
}

impl<'p> Build<'p> {
    /// Creates empty tables in a shadow schema, and drops those of an earlier attempt. The connection acts as the owner from now on. Only
    /// one build of a projection can run at a time. A second one fails rather than waits, because it is a mistake.
    pub(crate) async fn begin(
        connection: &mut PgConnection,
        database: &Database,
        projection: &'p dyn Projection,
        schema: String,
    ) -> Result<Self, Error> {
        let asked = Instant::now();
        while !try_lock(connection, projection).await? {
            // A build that has just ended may hold the lock until the server notices that its connection is closed.
            if asked.elapsed() > LOCK_TIMEOUT {
                return Err(Error::AlreadyRebuilding { projection: projection.name().to_owned() });
            }
            tokio::time::sleep(LOCK_TIMEOUT / 20).await;
        }
        connection.execute(format!("SET ROLE {}", database.owner()).as_str()).await?;
        if Checkpoint::load(connection, projection.name()).await?.is_empty() {
            return Err(Error::NotMigrated { projection: projection.name().to_owned() });
        }
        // No tenant can be deleted during the build, because deleting waits for the lock.
        let deleted: Vec<Uuid> = sqlx::query_scalar("SELECT tenant_id FROM log.closed WHERE state = 'deleted'")
            .fetch_all(&mut *connection)
            .await?;
        let decisions = Decisions::load(connection, &parking::consumer(projection.name())).await?;
        let mut transaction = connection.begin().await?;
        transaction.execute(format!("DROP SCHEMA IF EXISTS {schema} CASCADE").as_str()).await?;
        tables::create_schema(&mut transaction, database, &schema).await?;
        let indexes = tables::create(&mut transaction, database, &schema, projection).await?;
        transaction.commit().await?;
        Ok(Self {
            projection,
            decisions,
            schema,
            parked: Parked::default(),
            found: Vec::new(),
            position: Position::START,
            events: 0,
            tenants: BTreeSet::new(),
            deleted: deleted.into_iter().collect(),
            indexes,
        })
    }

    /// Fills the tables up to a position: first in bulk, then it creates indexes and statistics, then it applies the events that were
    /// appended meanwhile. So little is left for the swap, during which others wait.
    pub(crate) async fn fill(
        &mut self,
        connection: &mut PgConnection,
        store: &EventStore,
        to: Position,
        mut on_progress: impl FnMut(Position),
    ) -> Result<(), Error> {
        self.load(connection, store, to, &mut on_progress).await?;
        for index in std::mem::take(&mut self.indexes) {
            let mut transaction = connection.begin().await?;
            transaction.execute(index.as_str()).await?;
            transaction.commit().await?;
        }
        self.analyze(connection).await?;
        self.load(connection, store, to, on_progress).await
    }

    /// Applies the rest of the log within the caller's transaction. Stops after the batch that reached the end of the log: later events
    /// were appended during this call.
    pub(crate) async fn catch_up(&mut self, transaction: &mut PgConnection, store: &EventStore) -> Result<(), Error> {
        self.apply_within(transaction, store, END, |_| true).await
    }

    /// Applies the events that the live tables have, within the caller's transaction.
    pub(crate) async fn follow(
        &mut self,
        transaction: &mut PgConnection,
        store: &EventStore,
        live: &Reached,
    ) -> Result<(), Error> {
        self.apply_within(transaction, store, live.highest(), |event| live.has(event)).await
    }

    /// Applies the log up to a position, only the events that `admitted` accepts, within the caller's transaction.
    async fn apply_within(
        &mut self,
        transaction: &mut PgConnection,
        store: &EventStore,
        to: Position,
        admitted: impl Fn(&RecordedEvent) -> bool,
    ) -> Result<(), Error> {
        while self.position < to {
            let EventSlice { events, more, .. } = store.slice_after(self.position, limit(self.position, to)).await?;
            let batch = store.opened(events).await?;
            let Some(last) = batch.last().map(|event| event.position) else { break };
            let count = batch.len();
            for part in self.parts(store, batch).await? {
                match part {
                    Part::Events(batch) => {
                        let mut wanted = self.wanted(&batch);
                        wanted.retain(|event| admitted(event));
                        transaction.execute(writing::scope(&self.schema, &wanted).as_str()).await?;
                        self.apply_or_park(transaction, &wanted).await?;
                    }
                    Part::Discarded(event) => {
                        if admitted(&event) {
                            transaction.execute(writing::scope(&self.schema, &[&event]).as_str()).await?;
                            self.skip(transaction, &event).await?;
                        }
                    }
                }
            }
            self.position = last;
            self.events += count as u64;
            if !more {
                break;
            }
        }
        Ok(())
    }

    /// Applies the log from the current position up to `to` or its end. Reading is one batch ahead of applying.
    async fn load(
        &mut self,
        connection: &mut PgConnection,
        store: &EventStore,
        to: Position,
        mut on_progress: impl FnMut(Position),
    ) -> Result<(), Error> {
        let (sender, mut batches) = mpsc::channel(1);
        let reader = tokio::spawn(read(store.clone(), self.position, to, sender));
        let mut analyze_at = FIRST_ANALYZE.max(self.events * 4);
        while let Some(batch) = batches.recv().await {
            let batch: Vec<RecordedEvent> = batch?;
            let Some(last) = batch.last().map(|event| event.position) else { break };
            let count = batch.len() as u64;
            for part in self.parts(store, batch).await? {
                self.apply_part(connection, &part).await?;
            }
            self.position = last;
            self.events += count;
            on_progress(last);
            if self.events >= analyze_at {
                // Without statistics the planner assumes nearly empty tables and scans them sequentially.
                self.analyze(connection).await?;
                analyze_at *= 4;
            }
        }
        drop(batches);
        resume_panic(reader.await);
        Ok(())
    }

    /// Applies operators' decisions to a batch: events are edited, and discarded ones are separated.
    async fn parts(&self, store: &EventStore, batch: Vec<RecordedEvent>) -> Result<Vec<Part>, Error> {
        Ok(match (batch.first(), batch.last()) {
            (Some(first), Some(last)) if !self.decisions.has_none_between(first.position, last.position) => {
                self.decisions.opened(store, &batch).await?.parts(batch)
            }
            _ => vec![Part::Events(batch)],
        })
    }

    async fn apply_part(&mut self, connection: &mut PgConnection, part: &Part) -> Result<(), Error> {
        match part {
            Part::Events(batch) => {
                let wanted = self.wanted(batch);
                if wanted.is_empty() { Ok(()) } else { self.apply(connection, &wanted).await }
            }
            Part::Discarded(event) => {
                let mut transaction = writing::begin(connection, &self.schema, &[event]).await?;
                self.skip(&mut transaction, event).await?;
                Ok(transaction.commit().await?)
            }
        }
    }

    /// Skips a discarded event, in a transaction whose search path and tenants are set.
    async fn skip(&mut self, transaction: &mut PgConnection, event: &RecordedEvent) -> Result<(), Error> {
        self.tenants.insert(event.tenant);
        let found = if !self.projection.wants(&event.event_type) {
            return Ok(());
        } else if self.parked.holds(event) {
            ParkedEvent::new(event, None)
        } else {
            match applying::skip_within(self.projection, event, transaction).await? {
                None => return Ok(()),
                Some((_, errors)) => ParkedEvent::new(event, Some(errors)),
            }
        };
        self.parked.add(std::slice::from_ref(&found));
        self.found.push(found);
        Ok(())
    }

    /// The events that the projection wants, without those of deleted tenants.
    fn wanted<'e>(&mut self, batch: &'e [RecordedEvent]) -> Vec<&'e RecordedEvent> {
        self.tenants.extend(batch.iter().map(|event| event.tenant));
        let shown = |event: &&RecordedEvent| !self.deleted.contains(&event.tenant.uuid());
        batch.iter().filter(shown).filter(|event| self.projection.wants(&event.event_type)).collect()
    }

    async fn apply(&mut self, connection: &mut PgConnection, wanted: &[&RecordedEvent]) -> Result<(), Error> {
        if !wanted.iter().any(|event| self.parked.holds(event)) {
            let mut transaction = writing::begin(connection, &self.schema, wanted).await?;
            match applying::apply(self.projection, wanted, &mut transaction).await {
                Ok(()) => return Ok(transaction.commit().await?),
                Err(Failure::Database(error)) => return Err(error.into()),
                Err(Failure::Events { .. }) => transaction.rollback().await?,
            }
        }
        let mut transaction = writing::begin(connection, &self.schema, wanted).await?;
        self.apply_or_park(&mut transaction, wanted).await?;
        transaction.commit().await?;
        Ok(())
    }

    async fn apply_or_park(&mut self, transaction: &mut PgConnection, wanted: &[&RecordedEvent]) -> Result<(), Error> {
        let found = applying::apply_or_park(self.projection, wanted, &self.parked, transaction).await?;
        self.parked.add(&found);
        self.found.extend(found);
        Ok(())
    }

    async fn analyze(&self, connection: &mut PgConnection) -> Result<(), Error> {
        for table in self.projection.tables() {
            connection.execute(format!("ANALYZE {}.{table}", self.schema).as_str()).await?;
        }
        Ok(())
    }

    /// Whether operators decided about dead letters since the build began. The tables may then contain events in their old form.
    pub(crate) async fn decisions_changed(&self, connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
        let now = Decisions::load(connection, &parking::consumer(self.projection.name())).await?;
        Ok(now != self.decisions)
    }

    /// Replaces the stored parked events by those of the build.
    pub(crate) async fn store_parked(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let name = self.projection.name();
        parking::clear(connection, name).await?;
        parking::store(connection, name, Partition::WHOLE, &self.found, self.parked.backoff).await?;
        parking::recount(connection, name).await
    }
}

/// How many events to read at once between two positions. Positions have no gaps.
fn limit(after: Position, to: Position) -> u32 {
    u32::try_from(to.0 - after.0).unwrap_or(u32::MAX).min(BATCH)
}

/// Reads the log up to a position or its end, and sends the batches into a channel.
async fn read(
    store: EventStore,
    mut after: Position,
    to: Position,
    batches: mpsc::Sender<Result<Vec<RecordedEvent>, eventstore::Error>>,
) {
    while after < to {
        let (batch, more) = match store.slice_after(after, limit(after, to)).await {
            Ok(EventSlice { events, last, more }) => {
                after = last;
                (store.opened(events).await, more)
            }
            Err(error) => (Err(error), false),
        };
        let more = more && batch.is_ok();
        if batches.send(batch).await.is_err() || !more {
            return;
        }
    }
}
