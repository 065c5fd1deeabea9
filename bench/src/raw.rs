//! The raw limits of this machine: what Postgres and JetStream do with nothing of ours in between.

use std::time::{Duration, Instant};

use async_nats::jetstream;
use futures::future::try_join_all;
use sqlx::{Connection, PgConnection};

/// A payload as large as that of a captured lead.
const PAYLOAD: &str = r#"{"event":"crm.lead.captured","details":{"name":"Ada Byron 12345","company":"Engines 12345 Ltd","title":"Head of Numbers","email":"ada.12345@example.com","country":"GB"},"source":"website"}"#;

/// Rows of one batched insert.
const BATCH: usize = 100;

/// Messages that are under way at once when publishing is pipelined.
const IN_FLIGHT: usize = 256;

const TABLE: &str = "CREATE TABLE IF NOT EXISTS raw_events (
    position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    payload  json NOT NULL
)";

/// One round: what was reached per second.
#[derive(Clone, Copy, Debug)]
pub struct Round {
    /// Single-row inserts, a transaction each, on one connection.
    pub insert_1: f64,
    /// The same on 64 connections.
    pub insert_64: f64,
    /// Rows in batches of 100 on one connection.
    pub insert_batched: f64,
    /// Publishes, each acknowledged before the next.
    pub publish_1: f64,
    /// Publishes with 256 under way.
    pub publish_pipelined: f64,
}

/// Measures each limit for `measure`, against a scratch database and stream.
pub async fn round(postgres: &str, nats: &str, measure: Duration) -> anyhow::Result<Round> {
    let mut connection = PgConnection::connect(postgres).await?;
    sqlx::raw_sql(TABLE).execute(&mut connection).await?;
    let bus = stream(nats).await?;
    let round = Round {
        insert_1: inserts(postgres, 1, measure).await?,
        insert_64: inserts(postgres, 64, measure).await?,
        insert_batched: batched(&mut connection, measure).await?,
        publish_1: publishes(&bus, 1, measure).await?,
        publish_pipelined: publishes(&bus, IN_FLIGHT, measure).await?,
    };
    bus.delete_stream("RAW").await?;
    sqlx::raw_sql("DROP TABLE raw_events").execute(&mut connection).await?;
    Ok(round)
}

async fn inserts(postgres: &str, connections: usize, measure: Duration) -> anyhow::Result<f64> {
    let open = try_join_all((0..connections).map(|_| PgConnection::connect(postgres))).await?;
    let start = Instant::now();
    let end = start + measure;
    let tasks = open.into_iter().map(|mut connection| {
        tokio::spawn(async move {
            let mut rows = 0_u64;
            while Instant::now() < end {
                sqlx::query("INSERT INTO raw_events (payload) VALUES ($1::text::json)")
                    .bind(PAYLOAD)
                    .execute(&mut connection)
                    .await?;
                rows += 1;
            }
            Ok::<_, sqlx::Error>(rows)
        })
    });
    let mut rows = 0;
    for task in try_join_all(tasks).await? {
        rows += task?;
    }
    Ok(per_second(rows, start))
}

async fn batched(connection: &mut PgConnection, measure: Duration) -> anyhow::Result<f64> {
    let payloads = vec![PAYLOAD; BATCH];
    let start = Instant::now();
    let mut rows = 0;
    while start.elapsed() < measure {
        sqlx::query("INSERT INTO raw_events (payload) SELECT payload::json FROM unnest($1::text[]) AS row (payload)")
            .bind(&payloads)
            .execute(&mut *connection)
            .await?;
        rows += BATCH as u64;
    }
    Ok(per_second(rows, start))
}

async fn stream(nats: &str) -> anyhow::Result<jetstream::Context> {
    let context = jetstream::new(async_nats::connect(nats).await?);
    let config =
        jetstream::stream::Config { name: "RAW".to_owned(), subjects: vec!["raw.>".to_owned()], ..Default::default() };
    context.create_stream(config).await?;
    Ok(context)
}

async fn publishes(bus: &jetstream::Context, in_flight: usize, measure: Duration) -> anyhow::Result<f64> {
    let start = Instant::now();
    let mut acknowledged = 0;
    while start.elapsed() < measure {
        let mut acks = Vec::with_capacity(in_flight);
        for _ in 0..in_flight {
            acks.push(bus.publish("raw.event", PAYLOAD.into()).await?.into_future());
        }
        acknowledged += try_join_all(acks).await?.len() as u64;
    }
    Ok(per_second(acknowledged, start))
}

fn per_second(count: u64, start: Instant) -> f64 {
    count as f64 / start.elapsed().as_secs_f64()
}
