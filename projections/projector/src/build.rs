//! Tables that are filled from the log in a shadow schema, beside the live ones.

use std::collections::BTreeSet;
use std::time::Duration;

use deadletters::{Decisions, Part};
use eventstore::{Database, EventSlice, EventStore, LockClass};
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

/// Events read from the log, and applied in one transaction, at once, fewer of them if they are large. Larger batches gain nothing (the time
/// goes into the rows).
const BATCH: u32 = 10_000;
/// The tables are analyzed when they have seen so many events, and again at each fourfold.
const FIRST_ANALYZE: u64 = 20_000;
/// So long it is tried again whether nobody else builds the same.
const A_MOMENT: Duration = Duration::from_secs(1);
/// As far as the log goes.
pub(crate) const END: Position = Position(i64::MAX as u64);

/// The new tables, and how far they are.
pub(crate) struct Build<'p> {
    pub(crate) projection: &'p dyn Projection,
    /// What people decided about events that once were parked: it holds here too.
    decisions: Decisions,
    pub(crate) schema: String,
    pub(crate) parked: Parked,
    /// What is parked, to be written down with the swap.
    pub(crate) found: Vec<ParkedEvent>,
    pub(crate) position: Position,
    pub(crate) events: u64,
    /// Whose events there were.
    pub(crate) tenants: BTreeSet<TenantId>,
    /// Tenants that are deleted: what their history says of them is shown to nobody any more.
    deleted: BTreeSet<Uuid>,
    /// What makes the plain indexes, once the tables are filled.
    indexes: Vec<String>,
}

async fn is_alone(connection: &mut PgConnection, projection: &dyn Projection) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("SELECT pg_try_advisory_lock($1, hashtext($2))")
        .bind(LockClass::ProjectionBuild.number())
        .bind(projection.name())
        .fetch_one(connection)
        .await
}

impl<'p> Build<'p> {
    /// Empty tables in a shadow schema; what an earlier attempt left there is dropped. The connection acts as the owner from
    /// now on. One at a time for each projection: asked for rather than waited for, since two are a mistake.
    pub(crate) async fn begin(
        connection: &mut PgConnection,
        database: &Database,
        projection: &'p dyn Projection,
        schema: String,
    ) -> Result<Self, Error> {
        let asked = Instant::now();
        while !is_alone(connection, projection).await? {
            // Who has just ended may have it a moment longer, until the server sees that their connection is gone.
            if asked.elapsed() > A_MOMENT {
                return Err(Error::AlreadyRebuilding { projection: projection.name().to_owned() });
            }
            tokio::time::sleep(A_MOMENT / 20).await;
        }
        connection.execute(format!("SET ROLE {}", database.owner()).as_str()).await?;
        if Checkpoint::load(connection, projection.name()).await?.is_empty() {
            return Err(Error::NotMigrated { projection: projection.name().to_owned() });
        }
        // Nobody is deleted while a read model is built: that waits for the lock.
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

    /// Fills the tables up to a position: in bulk first, then with their indexes and statistics, then with what came
    /// meanwhile, so that little is left to do for whoever has to wait.
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

    /// Applies the log from where the tables are to its end, within the caller's transaction. Ends early behind a batch after
    /// which there was no more: what comes after it is new.
    pub(crate) async fn catch_up(&mut self, transaction: &mut PgConnection, store: &EventStore) -> Result<(), Error> {
        self.apply_within(transaction, store, END, |_| true).await
    }

    /// Applies what the live tables have already, within the caller's transaction.
    pub(crate) async fn follow(
        &mut self,
        transaction: &mut PgConnection,
        store: &EventStore,
        live: &Reached,
    ) -> Result<(), Error> {
        self.apply_within(transaction, store, live.highest(), |event| live.has(event)).await
    }

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

    /// Applies the log from where the tables are to a position or its end. Reading is one batch ahead of applying.
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
                // Until then the planner takes the tables for nearly empty, and reads them whole.
                self.analyze(connection).await?;
                analyze_at *= 4;
            }
        }
        // It has ended: the channel is closed.
        drop(reader);
        Ok(())
    }

    /// A batch as the projection is to see it.
    async fn parts(&self, store: &EventStore, batch: Vec<RecordedEvent>) -> Result<Vec<Part>, Error> {
        Ok(match (batch.first(), batch.last()) {
            (Some(first), Some(last)) if !self.decisions.silent_on(first.position, last.position) => {
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

    /// Passes over an event that was discarded, in a transaction that is set for it.
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

    /// Whether somebody decided about events since it began: they may be in the tables in another way by now.
    pub(crate) async fn is_overruled(&self, connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
        let now = Decisions::load(connection, &parking::consumer(self.projection.name())).await?;
        Ok(now != self.decisions)
    }

    /// Writes down what is parked, in place of what was.
    pub(crate) async fn store_parked(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let name = self.projection.name();
        parking::clear(connection, name).await?;
        parking::store(connection, name, Partition::WHOLE, &self.found, self.parked.backoff).await?;
        parking::recount(connection, name).await
    }
}

/// How many events are read at once after one position and up to another: positions are dense.
fn limit(after: Position, to: Position) -> u32 {
    u32::try_from(to.0 - after.0).unwrap_or(u32::MAX).min(BATCH)
}

/// Reads the log up to a position, or its end, into a channel.
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
