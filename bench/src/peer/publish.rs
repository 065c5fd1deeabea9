//! Inline publishing: the command waits until JetStream has acknowledged its events.

use anyhow::Context as _;
use async_nats::jetstream::{self, Context};
use async_trait::async_trait;
use cqrs_es::{EventEnvelope, Query};
use serde::{Deserialize, Serialize};

use super::lead::{Event, Lead};

/// The peer's stream.
pub const STREAM: &str = "PEER";

/// A message on the stream.
#[derive(Debug, Serialize, Deserialize)]
pub struct Message {
    pub aggregate_id: String,
    pub sequence: usize,
    pub event: Event,
}

/// Connects and creates the stream.
pub async fn connect(url: &str) -> anyhow::Result<Context> {
    let context = jetstream::new(async_nats::connect(url).await.context("the peer's nats-server can't be reached")?);
    context
        .get_or_create_stream(jetstream::stream::Config {
            name: STREAM.to_owned(),
            subjects: vec!["peer.>".to_owned()],
            ..Default::default()
        })
        .await
        .context("the peer's stream")?;
    Ok(context)
}

/// A `Query` of cqrs-es, which is called with the events after they are stored.
pub struct Publisher(pub Context);

#[async_trait]
impl Query<Lead> for Publisher {
    async fn dispatch(&self, aggregate_id: &str, events: &[EventEnvelope<Lead>]) {
        for envelope in events {
            if let Err(error) = self.publish(aggregate_id, envelope).await {
                // A `Query` can't make its command fail, so the event stays stored but unpublished.
                eprintln!("peer: not published: {error:#}");
            }
        }
    }
}

impl Publisher {
    async fn publish(&self, aggregate_id: &str, envelope: &EventEnvelope<Lead>) -> anyhow::Result<()> {
        let message = Message {
            aggregate_id: aggregate_id.to_owned(),
            sequence: envelope.sequence,
            event: envelope.payload.clone(),
        };
        self.0.publish(format!("peer.lead.{aggregate_id}"), serde_json::to_vec(&message)?.into()).await?.await?;
        Ok(())
    }
}
