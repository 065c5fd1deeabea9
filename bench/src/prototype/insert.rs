//! A minimal group commit: takes all waiting rows, inserts them in one statement, and answers all.

use anyhow::Context;
use sqlx::{Connection, PgConnection};
use tokio::sync::{mpsc, oneshot};

/// Maximum number of rows of a statement.
const BATCH: usize = 256;

/// One event.
pub struct Row {
    pub aggregate_id: String,
    pub event_type: String,
    pub payload: String,
}

type Waiting = (Row, oneshot::Sender<()>);

/// Passes rows to the single task that inserts them.
#[derive(Clone)]
pub struct Inserter(mpsc::Sender<Waiting>);

impl Inserter {
    /// Connects, creates the table and starts the task.
    pub async fn open(url: &str) -> anyhow::Result<Self> {
        let mut connection = PgConnection::connect(url).await.context("the prototype's database can't be reached")?;
        sqlx::raw_sql(
            "CREATE TABLE events (
                position     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
                aggregate_id text NOT NULL,
                event_type   text NOT NULL,
                payload      json NOT NULL
            )",
        )
        .execute(&mut connection)
        .await?;
        let (sender, receiver) = mpsc::channel(4 * BATCH);
        tokio::spawn(run(connection, receiver));
        Ok(Self(sender))
    }

    /// Returns when the row is durable.
    pub async fn insert(&self, row: Row) -> anyhow::Result<()> {
        let (done, waiting) = oneshot::channel();
        self.0.send((row, done)).await.ok().context("the inserter stopped")?;
        waiting.await.context("the row was not inserted")
    }
}

async fn run(mut connection: PgConnection, mut receiver: mpsc::Receiver<Waiting>) {
    let mut batch = Vec::with_capacity(BATCH);
    while receiver.recv_many(&mut batch, BATCH).await > 0 {
        let (rows, waiters): (Vec<Row>, Vec<_>) = batch.drain(..).unzip();
        match insert(&mut connection, rows).await {
            Ok(()) => waiters.into_iter().for_each(|waiter| {
                // Fails if the client has disconnected, which does not matter.
                let _ = waiter.send(());
            }),
            // `waiters` is dropped here, which makes their requests fail.
            Err(error) => eprintln!("prototype: {error}"),
        }
    }
}

async fn insert(connection: &mut PgConnection, rows: Vec<Row>) -> sqlx::Result<()> {
    let mut ids = Vec::with_capacity(rows.len());
    let mut types = Vec::with_capacity(rows.len());
    let mut payloads = Vec::with_capacity(rows.len());
    for row in rows {
        ids.push(row.aggregate_id);
        types.push(row.event_type);
        payloads.push(row.payload);
    }
    sqlx::query(
        "INSERT INTO events (aggregate_id, event_type, payload)
         SELECT id, type, payload::json FROM unnest($1::text[], $2::text[], $3::text[]) AS row (id, type, payload)",
    )
    .bind(ids)
    .bind(types)
    .bind(payloads)
    .execute(connection)
    .await?;
    Ok(())
}
