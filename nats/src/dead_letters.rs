//! The stream of dead letters of all services: one message for each dead letter that is parked, and one for each change of its state. The
//! services' tables are the source of truth; the stream serves alerts and tools.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::header::NATS_MESSAGE_ID;
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType};
use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, Utc};
use kernel::{Service, TenantId};
use serde::Serialize;
use uuid::Uuid;

use crate::{Bus, Error, subject};

/// The stream's name.
pub const DEAD_LETTERS: &str = "DEAD_LETTERS";

/// How long a message is kept.
const MAX_AGE: Duration = Duration::from_hours(30 * 24);
/// How long the server remembers message ids, so that a message that is sent again within this time is stored once.
const DUPLICATE_WINDOW: Duration = Duration::from_mins(10);

/// A message about a dead letter that was parked, or is no longer parked. It contains neither the payload of the event nor an error, since
/// both may contain personal data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeadLetterNews {
    /// The message's id.
    #[serde(skip)]
    pub message: Uuid,
    /// The tenant of the event.
    #[serde(skip)]
    pub tenant: TenantId,
    /// When the state changed.
    #[serde(skip)]
    pub at: DateTime<Utc>,
    /// The dead letter's id: consumer and position.
    pub id: String,
    /// The consumer that could not process the event: kind and name.
    pub consumer: String,
    /// The event's position in the log.
    pub position: u64,
    /// The aggregate's type.
    pub aggregate_type: String,
    /// The aggregate's id.
    pub aggregate_id: String,
    /// The event's name.
    pub event_type: String,
    /// `parked`, `applied` or `discarded`.
    pub state: String,
    /// The number of attempts so far.
    pub attempts: u32,
}

impl Bus {
    /// Creates the stream `DEAD_LETTERS` if it is missing.
    pub async fn ensure_dead_letters(&self, replicas: usize) -> Result<(), Error> {
        let config = Config {
            name: DEAD_LETTERS.to_owned(),
            description: Some("Events that a consumer could not take, and what became of them".to_owned()),
            subjects: vec![subject::dead_letters()],
            retention: RetentionPolicy::Limits,
            discard: DiscardPolicy::Old,
            storage: StorageType::File,
            num_replicas: replicas,
            max_age: MAX_AGE,
            duplicate_window: DUPLICATE_WINDOW,
            allow_direct: true,
            ..Config::default()
        };
        let made = self.jetstream.get_or_create_stream(config).await;
        made.map(drop).map_err(|error| Error::Unavailable(error.to_string()))
    }

    /// Publishes a message about a dead letter and waits until it is stored. If it is sent again within ten minutes, it is stored only
    /// once.
    pub async fn publish_dead_letter(&self, service: Service, news: &DeadLetterNews) -> Result<(), Error> {
        let mut headers = HeaderMap::new();
        headers.insert(NATS_MESSAGE_ID, news.message.to_string());
        headers.insert("ce-specversion", "1.0");
        headers.insert("ce-id", news.message.to_string());
        headers.insert("ce-source", format!("/inopsio/{service}"));
        headers.insert("ce-type", format!("inopsio.dead_letter.{}", news.state));
        headers.insert("ce-time", news.at.to_rfc3339_opts(SecondsFormat::Micros, true));
        headers.insert("ce-subject", news.id.clone());
        headers.insert("ce-tenant", news.tenant.to_string());
        headers.insert("content-type", "application/json");
        let body = serde_json::to_vec(news).map_err(|error| Error::Refused(error.to_string()))?;
        let to = subject::dead_letter(service, news.tenant, &news.consumer, &news.state);
        let unavailable = |error: &dyn std::fmt::Display| Error::Unavailable(error.to_string());
        let sent = self.jetstream.publish_with_headers(to, headers, Bytes::from(body)).await;
        sent.map_err(|error| unavailable(&error))?.await.map(drop).map_err(|error| unavailable(&error))
    }
}
