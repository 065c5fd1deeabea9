//! The stock peer: a server built with cqrs-es and postgres-es by their own guide, with the same web framework and token check as ours.
//!
//! A command loads its aggregate's events, decides, inserts one row per event in its own transaction, publishes each event to JetStream,
//! waits for the ack, and answers. The projection processes one message at a time: a transaction with an upsert and the checkpoint, then
//! the ack. There are no tenants, no idempotency keys and no `If-Match`, so it does less work per command than ours.

mod lead;
mod projection;
mod publish;
mod web;

use std::sync::Arc;

use anyhow::Context;
use postgres_es::{PostgresCqrs, PostgresEventRepository};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;

use crate::server::Settings;
use lead::Lead;

/// The tables of postgres-es (its `db/init.sql`) and the read model.
const SCHEMA: &str = include_str!("schema.sql");

/// Size of the connection pool. postgres-es' own helper uses 10; of 10, 16, 32 and 64, 16 was the fastest here.
const CONNECTIONS: u32 = 16;

/// Serves until the process is killed.
pub async fn serve(settings: &Settings) -> anyhow::Result<()> {
    let pool = PgPoolOptions::new()
        .max_connections(CONNECTIONS)
        .connect(&settings.postgres)
        .await
        .context("the peer's database can't be reached")?;
    sqlx::raw_sql(SCHEMA).execute(&pool).await.context("the peer's tables")?;
    let jetstream = publish::connect(&settings.nats).await?;
    tokio::spawn(projection::run(pool.clone(), jetstream.clone()));
    crate::server::serve(settings, web::routes(cqrs(pool.clone(), jetstream), pool)).await
}

fn cqrs(pool: PgPool, jetstream: async_nats::jetstream::Context) -> Arc<PostgresCqrs<Lead>> {
    let store = cqrs_es::persist::PersistedEventStore::new_event_store(PostgresEventRepository::new(pool));
    Arc::new(cqrs_es::CqrsFramework::new(store, vec![Box::new(publish::Publisher(jetstream))], ()))
}
