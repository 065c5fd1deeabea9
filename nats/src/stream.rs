//! A service's stream: created with the number at which it is to begin, inspected, deleted.

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{CreateStreamError, CreateStreamErrorKind, GetStreamError, GetStreamErrorKind};
use async_nats::jetstream::stream::{Config, DiscardPolicy, Info, RawMessageErrorKind, RetentionPolicy, StorageType};
use kernel::{Position, RecordedEvent, Service};
use tokio::time::timeout;

use crate::{Bus, Error, cloudevent, subject};

/// In a cluster that has lost the stream's leader nobody answers, and whoever becomes the new one does not answer what was
/// asked before: so it is asked again this often.
const ASK_AGAIN: std::time::Duration = std::time::Duration::from_secs(1);

/// How a service's stream is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamSettings {
    /// Copies in a cluster: 1, 3 or 5.
    pub replicas: usize,
    /// The sequence of its first message, when it is created: the position from which it is filled. At least 1.
    pub first_seq: u64,
}

impl Default for StreamSettings {
    fn default() -> Self {
        Self { replicas: 1, first_seq: 1 }
    }
}

/// What a stream holds. Sequences are positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamState {
    /// The first sequence that it has; `last + 1` when it is empty.
    pub first: u64,
    /// The last sequence that it has or had; the next message must be the one after it.
    pub last: u64,
}

impl From<&Info> for StreamState {
    fn from(info: &Info) -> Self {
        let last = info.state.last_sequence;
        let first = if info.state.messages == 0 { last + 1 } else { info.state.first_sequence };
        Self { first, last }
    }
}

/// How many servers of a cluster keep a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamCopies {
    /// How many shall.
    pub wanted: usize,
    /// How many have all of it at this moment.
    pub current: usize,
    /// The name of the server that takes what is published; `None`: none does now, or there is no cluster.
    pub leader: Option<String>,
}

impl From<&Info> for StreamCopies {
    fn from(info: &Info) -> Self {
        let wanted = info.config.num_replicas;
        let Some(cluster) = &info.cluster else { return Self { wanted, current: 1, leader: None } };
        let followers = cluster.replicas.iter().filter(|peer| peer.current && !peer.offline).count();
        let leader = cluster.leader.clone().filter(|leader| !leader.is_empty());
        Self { wanted, current: followers + usize::from(leader.is_some()), leader }
    }
}

impl Bus {
    /// The stream of a service, created if it is missing; the number of copies is adjusted if it differs. An existing stream
    /// keeps its first sequence.
    pub async fn ensure_stream(&self, service: Service, settings: StreamSettings) -> Result<StreamState, Error> {
        if let Some(mut info) = self.stream_info(service).await? {
            if info.config.num_replicas != settings.replicas {
                info.config.num_replicas = settings.replicas;
                info = self.jetstream.update_stream(&info.config).await.map_err(|error| from_create(&error))?;
            }
            return Ok(StreamState::from(&info));
        }
        let config = Config {
            name: subject::stream(service),
            description: Some(format!("The events of {service}; sequence = position in the log")),
            subjects: vec![subject::events(service)],
            retention: RetentionPolicy::Limits,
            discard: DiscardPolicy::Old,
            storage: StorageType::File,
            num_replicas: settings.replicas,
            first_sequence: (settings.first_seq > 1).then_some(settings.first_seq),
            // One message taken out would be a gap that no reader could tell from a loss.
            deny_delete: true,
            allow_direct: true,
            ..Config::default()
        };
        match self.jetstream.create_stream(config).await {
            Ok(stream) => Ok(StreamState::from(stream.cached_info())),
            // Another process was faster, with another first sequence.
            Err(error) if is_code(&error, ErrorCode::STREAM_NAME_EXIST) => self
                .stream_state(service)
                .await?
                .ok_or_else(|| Error::Unavailable("the stream comes and goes".to_owned())),
            Err(error) => Err(from_create(&error)),
        }
    }

    /// What the stream of a service holds; `None` when there is none.
    pub async fn stream_state(&self, service: Service) -> Result<Option<StreamState>, Error> {
        Ok(self.stream_info(service).await?.as_ref().map(StreamState::from))
    }

    /// How many servers keep the stream of a service; `None` when there is no stream.
    pub async fn stream_copies(&self, service: Service) -> Result<Option<StreamCopies>, Error> {
        Ok(self.stream_info(service).await?.as_ref().map(StreamCopies::from))
    }

    /// Deletes a service's stream, whose events stay in the log. For administrators and tests: the relay makes it anew.
    /// Whether there was one.
    pub async fn delete_stream(&self, service: Service) -> Result<bool, Error> {
        match self.jetstream.delete_stream(subject::stream(service)).await {
            Ok(status) => Ok(status.success),
            Err(error) => match error.kind() {
                GetStreamErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND => Ok(false),
                _ => Err(from_get(&error)),
            },
        }
    }

    /// The event that a service's stream has at a position; `None`: it has none there. The server that leads the stream answers
    /// it: a feed would need a consumer, which the cluster may well place at a server that is cut off from the others.
    pub async fn event_at(&self, service: Service, position: Position) -> Result<Option<RecordedEvent>, Error> {
        let answered = self.ask("it does not show what the stream has", || async {
            let stream = self.jetstream.get_stream_no_info(subject::stream(service)).await;
            let stream = stream.map_err(|error| from_get(&error))?;
            match stream.get_raw_message(position.0).await {
                Ok(message) => Ok(Some(message)),
                Err(error) => match error.kind() {
                    RawMessageErrorKind::NoMessageFound => Ok(None),
                    RawMessageErrorKind::JetStream(_) => Err(Error::Refused(error.to_string())),
                    _ => Err(Error::Unavailable(error.to_string())),
                },
            }
        });
        let Some(message) = answered.await?? else { return Ok(None) };
        cloudevent::decode(service, position, Some(&message.headers), message.payload)
            .map(Some)
            .map_err(|reason| Error::Unreadable { position, reason })
    }

    /// Asks until there is an answer, for as long as one may take.
    async fn ask<T, F: Future<Output = T>>(&self, silence: &str, question: impl Fn() -> F) -> Result<T, Error> {
        let asking = async {
            loop {
                if let Ok(answered) = timeout(ASK_AGAIN, question()).await {
                    return answered;
                }
            }
        };
        timeout(self.timeout, asking).await.map_err(|_| Error::Unavailable(silence.to_owned()))
    }

    async fn stream_info(&self, service: Service) -> Result<Option<Info>, Error> {
        let question = || self.jetstream.get_stream(subject::stream(service));
        match self.ask("it does not say what the stream has", question).await? {
            Ok(stream) => Ok(Some(stream.cached_info().clone())),
            Err(error) => match error.kind() {
                GetStreamErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND => Ok(None),
                _ => Err(from_get(&error)),
            },
        }
    }
}

fn is_code(error: &CreateStreamError, code: ErrorCode) -> bool {
    matches!(error.kind(), CreateStreamErrorKind::JetStream(error) if error.error_code() == code)
}

fn from_create(error: &CreateStreamError) -> Error {
    match error.kind() {
        CreateStreamErrorKind::JetStream(_) => Error::Refused(error.to_string()),
        _ => Error::Unavailable(error.to_string()),
    }
}

fn from_get(error: &GetStreamError) -> Error {
    match error.kind() {
        GetStreamErrorKind::JetStream(_) => Error::Refused(error.to_string()),
        _ => Error::Unavailable(error.to_string()),
    }
}
