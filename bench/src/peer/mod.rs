//! The stock peer: what one builds with cqrs-es and postgres-es by their own guide, behind the same web framework and the
//! same token check as ours.
//!
//! A command loads its aggregate's events, decides, inserts one row an event in a transaction of its own, publishes each
//! event to JetStream and waits for the ack, then answers. A projection takes message by message: one transaction with one
//! upsert and the checkpoint, then the ack. There is no tenant, no idempotency key and no expected version by `If-Match`: it
//! does less than ours for each command.

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

/// Connections of the pool. postgres-es' own helper takes 10; 16 was the fastest of 10, 16, 32 and 64 here.
const CONNECTIONS: u32 = 16;

/// Serves until the process is ended.
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
