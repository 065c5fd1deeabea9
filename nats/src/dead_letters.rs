//! The stream of dead letters, of all services: a message for each that was parked, and for each change of one. The tables of the
//! services are the truth; this is for alerts and tools.

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
const KEPT: Duration = Duration::from_hours(30 * 24);
/// How long the server knows what it has, by id, so that a message that is sent again is there once.
const KNOWN: Duration = Duration::from_mins(10);

/// A dead letter that was parked, or is not any more. It quotes neither the event nor an error: they may name a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeadLetterNews {
    /// The message's id.
    #[serde(skip)]
    pub message: Uuid,
    /// Whose it is.
    #[serde(skip)]
    pub tenant: TenantId,
    /// When it changed.
    #[serde(skip)]
    pub at: DateTime<Utc>,
    /// The letter's id: consumer and position.
    pub id: String,
    /// Who could not take it: kind and name.
    pub consumer: String,
    /// Where the event stands in the log.
    pub position: u64,
    /// The aggregate's type.
    pub aggregate_type: String,
    /// The aggregate's id.
    pub aggregate_id: String,
    /// The event's name.
    pub event_type: String,
    /// `parked`, `applied` or `discarded`.
    pub state: String,
    /// How often it was tried.
    pub attempts: u32,
}

impl Bus {
    /// Makes the stream `DEAD_LETTERS` if it is missing.
    pub async fn ensure_dead_letters(&self, replicas: usize) -> Result<(), Error> {
        let config = Config {
            name: DEAD_LETTERS.to_owned(),
            description: Some("Events that a consumer could not take, and what became of them".to_owned()),
            subjects: vec![subject::dead_letters()],
            retention: RetentionPolicy::Limits,
            discard: DiscardPolicy::Old,
            storage: StorageType::File,
            num_replicas: replicas,
            max_age: KEPT,
            duplicate_window: KNOWN,
            allow_direct: true,
            ..Config::default()
        };
        let made = self.jetstream.get_or_create_stream(config).await;
        made.map(drop).map_err(|error| Error::Unavailable(error.to_string()))
    }

    /// Tells of a dead letter; when this returns it is stored, once, however often it is sent within ten minutes.
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
