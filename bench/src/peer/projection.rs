//! The peer's read model: processes one message at a time, each with an upsert and the checkpoint in one transaction.

use anyhow::Context as _;
use async_nats::jetstream::{Context, consumer};
use futures::StreamExt;
use sqlx::PgPool;

use super::lead::Event;
use super::publish::{Message, STREAM};

/// Runs until the process is killed. Prints a message if it stops because of an error.
pub async fn run(pool: PgPool, jetstream: Context) {
    if let Err(error) = follow(&pool, &jetstream).await {
        eprintln!("peer: the projection stopped: {error:#}");
    }
}

async fn follow(pool: &PgPool, jetstream: &Context) -> anyhow::Result<()> {
    let config = consumer::pull::Config { durable_name: Some("leads".to_owned()), ..Default::default() };
    let consumer = jetstream.create_consumer_on_stream(config, STREAM).await?;
    let mut messages = consumer.messages().await?;
    while let Some(message) = messages.next().await {
        let message = message?;
        let position = message.info().map_err(anyhow::Error::from_boxed)?.stream_sequence;
        apply(pool, position, serde_json::from_slice(&message.payload)?).await.context("a message was not applied")?;
        message.ack().await.map_err(anyhow::Error::from_boxed)?;
    }
    Ok(())
}

async fn apply(pool: &PgPool, position: u64, message: Message) -> sqlx::Result<()> {
    let mut transaction = pool.begin().await?;
    let id = message.aggregate_id;
    let upsert = match message.event {
        Event::Captured { details } => sqlx::query(
            "INSERT INTO leads (id, name, company, source, status) VALUES ($1, $2, $3, $4, 'New') ON CONFLICT (id) DO NOTHING",
        )
        .bind(id)
        .bind(details.name)
        .bind(details.company)
        .bind(details.source),
        Event::Assigned { owner } => {
            sqlx::query("UPDATE leads SET owner = $2, status = 'Assigned' WHERE id = $1").bind(id).bind(owner)
        }
        Event::WorkStarted => sqlx::query("UPDATE leads SET status = 'InProcess' WHERE id = $1").bind(id),
        Event::Qualified { .. } => sqlx::query("UPDATE leads SET status = 'Qualified' WHERE id = $1").bind(id),
    };
    upsert.execute(&mut *transaction).await?;
    sqlx::query("UPDATE checkpoints SET position = $1 WHERE projection = 'leads' AND position < $1")
        .bind(position.cast_signed())
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await
}
