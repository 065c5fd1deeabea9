//! The raw limits of the machine: Postgres and JetStream without any code of ours.

use std::time::{Duration, Instant};

use async_nats::jetstream;
use futures::future::try_join_all;
use kernel::{IdSource, SystemIds};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::commands::median;
use crate::infrastructure::Infrastructure;
use crate::report::{Results, show, table};
use crate::run::Options;

/// A payload of the size of a captured lead's.
const PAYLOAD: &str = r#"{"event":"crm.lead.captured","details":{"name":"Ada Byron 12345","company":"Engines 12345 Ltd","title":"Head of Numbers","email":"ada.12345@example.com","country":"GB"},"source":"website"}"#;

/// Rows per batched insert.
const BATCH: usize = 100;

/// Number of unacknowledged messages when publishing is pipelined.
const IN_FLIGHT: usize = 256;

const TABLE: &str = "CREATE TABLE IF NOT EXISTS raw_events (
    position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    payload  json NOT NULL
)";

/// Rows per batched upsert.
const UPSERTED: usize = 500;

/// How often each row is updated before the next rows: as often as a lead of the load changes.
const TIMES: i64 = 4;

/// Number of tenants of the rows, the same as in the load.
const TENANTS: usize = 10;

/// A read model with its checkpoint, and a role that is subject to row level security.
const VIEW: &str = "
    DO $$ BEGIN
        IF to_regrole('bench_raw_writer') IS NULL THEN CREATE ROLE bench_raw_writer; END IF;
    END $$;
    CREATE TABLE raw_view (
        tenant_id uuid, id uuid, version bigint NOT NULL, name text NOT NULL, company text, email text, country text,
        source text NOT NULL, status text NOT NULL, owner text, captured_at timestamptz NOT NULL,
        changed_at timestamptz NOT NULL,
        PRIMARY KEY (tenant_id, id)
    ) WITH (fillfactor = 80);
    ALTER TABLE raw_view ENABLE ROW LEVEL SECURITY;
    ALTER TABLE raw_view FORCE ROW LEVEL SECURITY;
    CREATE POLICY writer ON raw_view USING (
        (tenant_id = ANY ((SELECT nullif(current_setting('app.tenant_ids', true), '')::uuid[])::uuid[])) IS TRUE);
    CREATE TABLE raw_checkpoint (position bigint NOT NULL) WITH (fillfactor = 10);
    INSERT INTO raw_checkpoint VALUES (0);
    GRANT SELECT, INSERT, UPDATE ON raw_view, raw_checkpoint TO bench_raw_writer;
    SET ROLE bench_raw_writer";

const UPSERT: &str = "INSERT INTO raw_view
    SELECT tenant_id, id, $3, 'Ada Byron', 'Engines Ltd', 'ada@example.com', 'GB', 'website', 'qualified', 'rep-7', now(), now()
    FROM unnest($1::uuid[], $2::uuid[]) AS row (tenant_id, id)
    ON CONFLICT (tenant_id, id) DO UPDATE SET
        version = EXCLUDED.version, name = EXCLUDED.name, company = EXCLUDED.company, email = EXCLUDED.email,
        country = EXCLUDED.country, source = EXCLUDED.source, status = EXCLUDED.status, owner = EXCLUDED.owner,
        captured_at = EXCLUDED.captured_at, changed_at = EXCLUDED.changed_at";

/// Measures the limits and prints them.
pub async fn part(options: &Options, infrastructure: &Infrastructure, results: &mut Results) -> anyhow::Result<()> {
    let database = infrastructure.create_database("bench_raw").await?;
    let mut rounds = Vec::new();
    for _ in 0..options.rounds() {
        rounds.push(round(&database, &infrastructure.nats_url(), options.seconds(1.5)).await?);
    }
    let middle = |of: fn(&Round) -> f64| median(&rounds.iter().map(of).collect::<Vec<_>>());
    let figures = [
        ("raw.insert_1", "single-row inserts, 1 connection", middle(|round| round.insert_1)),
        ("raw.insert_64", "single-row inserts, 64 connections", middle(|round| round.insert_64)),
        ("raw.insert_batched", "rows in batches of 100, 1 connection", middle(|round| round.insert_batched)),
        ("raw.upsert_batched", "read model rows, RLS, batches of 500", middle(|round| round.upsert_batched)),
        ("raw.publish_1", "JetStream publishes, one at a time", middle(|round| round.publish_1)),
        ("raw.publish_pipelined", "JetStream publishes, 256 under way", middle(|round| round.publish_pipelined)),
    ];
    for (name, _, figure) in figures {
        results.number(name, figure);
    }
    println!(
        "{}",
        table(&["raw limits", "per second"], figures.map(|(_, what, figure)| vec![what.to_owned(), show(figure)]))
    );
    Ok(())
}

/// The figures of one round, per second.
#[derive(Clone, Copy, Debug)]
pub struct Round {
    /// Single-row inserts on one connection, each in its own transaction.
    pub insert_1: f64,
    /// Single-row inserts on 64 connections.
    pub insert_64: f64,
    /// Rows inserted in batches of 100 on one connection.
    pub insert_batched: f64,
    /// Read model rows upserted in batches of 500 on one connection, with row level security and a checkpoint.
    pub upsert_batched: f64,
    /// Messages published, each acknowledged before the next.
    pub publish_1: f64,
    /// Messages published with 256 unacknowledged.
    pub publish_pipelined: f64,
}

/// Measures each limit for the duration `measure`, with a temporary database and stream.
pub async fn round(postgres: &str, nats: &str, measure: Duration) -> anyhow::Result<Round> {
    let mut connection = PgConnection::connect(postgres).await?;
    sqlx::raw_sql(TABLE).execute(&mut connection).await?;
    let bus = stream(nats).await?;
    let round = Round {
        insert_1: inserts(postgres, 1, measure).await?,
        insert_64: inserts(postgres, 64, measure).await?,
        insert_batched: batched(&mut connection, measure).await?,
        upsert_batched: upserts(postgres, measure).await?,
        publish_1: publishes(&bus, 1, measure).await?,
        publish_pipelined: publishes(&bus, IN_FLIGHT, measure).await?,
    };
    bus.delete_stream("RAW").await?;
    sqlx::raw_sql("DROP TABLE raw_events, raw_view, raw_checkpoint").execute(&mut connection).await?;
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

async fn upserts(postgres: &str, measure: Duration) -> anyhow::Result<f64> {
    let mut connection = PgConnection::connect(postgres).await?;
    sqlx::raw_sql(VIEW).execute(&mut connection).await?;
    let tenants: Vec<Uuid> = (0..TENANTS).map(|_| SystemIds.next()).collect();
    let scope = tenants.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let begin = format!("BEGIN; SET LOCAL synchronous_commit = off; SET LOCAL app.tenant_ids = '{{{scope}}}'");
    let row_tenants: Vec<Uuid> = tenants.iter().copied().cycle().take(UPSERTED).collect();
    let start = Instant::now();
    let mut rows = 0;
    while start.elapsed() < measure {
        let ids: Vec<Uuid> = (0..UPSERTED).map(|_| SystemIds.next()).collect();
        for version in 1..=TIMES {
            sqlx::raw_sql(&begin).execute(&mut connection).await?;
            sqlx::query("UPDATE raw_checkpoint SET position = position + $1")
                .bind(UPSERTED as i64)
                .execute(&mut connection)
                .await?;
            sqlx::query(UPSERT).bind(&row_tenants).bind(&ids).bind(version).execute(&mut connection).await?;
            sqlx::raw_sql("COMMIT").execute(&mut connection).await?;
            rows += UPSERTED as u64;
        }
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
