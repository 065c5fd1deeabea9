//! Building a projection anew beside the live one.

use std::time::{Duration, Instant};

use eventstore::{Database, EventStore};
use kernel::{Position, RecordedEvent};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, Executor, PgConnection};
use tokio::sync::mpsc;

use crate::applying::{self, Failure};
use crate::checkpoint::Checkpoint;
use crate::parking::{self, Parked, ParkedEvent};
use crate::{Error, Projection, migrate, swap, tables, writing};

/// Events read from the log, and applied in one transaction, at once. Larger ones gain nothing (the time goes into the rows).
const BATCH: u32 = 10_000;
/// First half of the advisory lock's key; the second is the projection's name.
const LOCK_CLASS: i32 = 71_648;
/// The tables are analyzed when they have seen so many events, and again at each fourfold.
const FIRST_ANALYZE: u64 = 20_000;

/// How far a rebuild is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rebuilding {
    /// The position up to which it is built.
    pub position: Position,
    /// The log's head when it began.
    pub head: Position,
}

/// What a rebuild did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rebuilt {
    /// The position that the new tables stand at.
    pub position: Position,
    /// Events of the log that were read.
    pub events: u64,
    /// Events that could not be applied and are parked.
    pub parked_events: u64,
    /// How long it took.
    pub took: Duration,
}

/// Builds a projection anew from the log, beside the live one, which goes on meanwhile; then swaps the two in one transaction.
/// What was parked is tried anew. `admin` connects to any database of the cluster and may act as the service's owner.
///
/// A rebuild that is interrupted leaves the live tables as they are; the next one begins from the start.
pub async fn rebuild(
    admin: &PgConnectOptions,
    database: &Database,
    store: &EventStore,
    projection: &dyn Projection,
    mut on_progress: impl FnMut(Rebuilding) + Send,
) -> Result<Rebuilt, Error> {
    let began = Instant::now();
    let mut connection = migrate::connect(admin, database).await?;
    // Asked for rather than waited for: two rebuilds of one projection are a mistake.
    let alone: bool = sqlx::query_scalar("SELECT pg_try_advisory_lock($1, hashtext($2))")
        .bind(LOCK_CLASS)
        .bind(projection.name())
        .fetch_one(&mut connection)
        .await?;
    if !alone {
        return Err(Error::AlreadyRebuilding { projection: projection.name().to_owned() });
    }
    connection.execute(format!("SET ROLE {}", database.owner()).as_str()).await?;
    if Checkpoint::load(&mut connection, projection.name()).await?.is_none() {
        return Err(Error::NotMigrated { projection: projection.name().to_owned() });
    }
    let schema = tables::shadow_schema(database, projection);
    let indexes = prepare(&mut connection, database, &schema, projection).await?;

    let head = store.head().await?;
    let mut build = Build {
        projection,
        schema,
        parked: Parked::default(),
        found: Vec::new(),
        position: Position::START,
        events: 0,
    };
    build.load(&mut connection, store, |position| on_progress(Rebuilding { position, head })).await?;
    for index in indexes {
        let mut transaction = connection.begin().await?;
        transaction.execute(index.as_str()).await?;
        transaction.commit().await?;
    }
    build.analyze(&mut connection).await?;
    // What came meanwhile, so that the swap has little left to do while the live projection waits for it.
    build.load(&mut connection, store, |position| on_progress(Rebuilding { position, head })).await?;

    swap::swap(&mut connection, database, store, &mut build).await?;
    connection.execute(format!("DROP SCHEMA {} CASCADE", build.schema).as_str()).await?;
    connection.close().await?;
    Ok(Rebuilt {
        position: build.position,
        events: build.events,
        parked_events: build.parked.events(),
        took: began.elapsed(),
    })
}

/// Empty tables in a shadow schema; what an earlier attempt left is dropped.
async fn prepare(
    connection: &mut PgConnection,
    database: &Database,
    schema: &str,
    projection: &dyn Projection,
) -> Result<Vec<String>, Error> {
    let mut transaction = connection.begin().await?;
    transaction.execute(format!("DROP SCHEMA IF EXISTS {schema} CASCADE").as_str()).await?;
    tables::create_schema(&mut transaction, database, schema).await?;
    let indexes = tables::create(&mut transaction, database, schema, projection).await?;
    transaction.commit().await?;
    Ok(indexes)
}

/// The new tables, and how far they are.
pub(crate) struct Build<'p> {
    pub(crate) projection: &'p dyn Projection,
    pub(crate) schema: String,
    pub(crate) parked: Parked,
    /// What is parked, to be written down with the swap.
    pub(crate) found: Vec<ParkedEvent>,
    pub(crate) position: Position,
    pub(crate) events: u64,
}

impl Build<'_> {
    /// Applies the log from where the tables are to its end. Reading is one batch ahead of applying.
    async fn load(
        &mut self,
        connection: &mut PgConnection,
        store: &EventStore,
        mut on_progress: impl FnMut(Position),
    ) -> Result<(), Error> {
        let (sender, mut batches) = mpsc::channel(1);
        let reader = tokio::spawn(read(store.clone(), self.position, sender));
        let mut analyze_at = FIRST_ANALYZE.max(self.events * 4);
        while let Some(batch) = batches.recv().await {
            let batch: Vec<RecordedEvent> = batch?;
            let Some(last) = batch.last().map(|event| event.position) else { break };
            let wanted = self.wanted(&batch);
            if !wanted.is_empty() {
                self.apply(connection, &wanted).await?;
            }
            self.position = last;
            self.events += batch.len() as u64;
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

    pub(crate) fn wanted<'e>(&self, batch: &'e [RecordedEvent]) -> Vec<&'e RecordedEvent> {
        batch.iter().filter(|event| self.projection.wants(&event.event_type)).collect()
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

    pub(crate) async fn apply_or_park(
        &mut self,
        transaction: &mut PgConnection,
        wanted: &[&RecordedEvent],
    ) -> Result<(), Error> {
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

    /// Writes down what is parked, in place of what was.
    pub(crate) async fn store_parked(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        parking::clear(connection, self.projection.name()).await?;
        parking::store(connection, self.projection.name(), &self.found).await
    }
}

/// Reads the log to its end into a channel.
async fn read(
    store: EventStore,
    mut after: Position,
    batches: mpsc::Sender<Result<Vec<RecordedEvent>, eventstore::Error>>,
) {
    loop {
        let batch = store.read_after(after, BATCH).await;
        let end = batch.as_ref().map_or(true, |events| events.len() < BATCH as usize);
        after = batch.as_ref().ok().and_then(|events| events.last()).map_or(after, |event| event.position);
        if batches.send(batch).await.is_err() || end {
            return;
        }
    }
}
