//! Creating, inspecting and deleting a service's stream.

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{CreateStreamError, CreateStreamErrorKind, GetStreamError, GetStreamErrorKind};
use async_nats::jetstream::stream::{Config, DiscardPolicy, Info, RawMessageErrorKind, RetentionPolicy, StorageType};
use kernel::{Position, RecordedEvent, Service};
use tokio::time::timeout;

use crate::{Bus, Error, cloudevent, subject};

/// The timeout of one request about a stream, after which it is sent again. While a cluster elects a new leader of the stream, requests are
/// not answered, and the new leader does not answer earlier ones.
const REQUEST_RETRY: std::time::Duration = std::time::Duration::from_secs(1);

/// The settings with which a service's stream is created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamSettings {
    /// The number of replicas in a cluster: 1, 3 or 5.
    pub replicas: usize,
    /// The sequence of the first message of a new stream: the position from which it is filled. At least 1.
    pub first_seq: u64,
}

impl Default for StreamSettings {
    fn default() -> Self {
        Self { replicas: 1, first_seq: 1 }
    }
}

/// The first and last sequence of a stream. Sequences are positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamState {
    /// The first sequence in the stream; `last + 1` when it is empty.
    pub first: u64,
    /// The last sequence that the stream has, or had before messages were removed. The next message gets the sequence after it.
    pub last: u64,
}

impl From<&Info> for StreamState {
    fn from(info: &Info) -> Self {
        let last = info.state.last_sequence;
        let first = if info.state.messages == 0 { last + 1 } else { info.state.first_sequence };
        Self { first, last }
    }
}

/// The replicas of a stream in a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamCopies {
    /// The configured number of replicas.
    pub wanted: usize,
    /// The number of replicas that are up to date at this moment.
    pub current: usize,
    /// The name of the server that leads the stream; `None` when there is no leader at this moment, or no cluster.
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
    /// Creates the stream of a service if it is missing. Adjusts the number of replicas of an existing stream, but not its first sequence.
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
            // Readers could not tell a deleted message from a lost one.
            deny_delete: true,
            allow_direct: true,
            ..Config::default()
        };
        match self.jetstream.create_stream(config).await {
            Ok(stream) => Ok(StreamState::from(stream.cached_info())),
            // Another process has just created it, with another first sequence.
            Err(error) if is_code(&error, ErrorCode::STREAM_NAME_EXIST) => self
                .stream_state(service)
                .await?
                .ok_or_else(|| Error::Unavailable("the stream comes and goes".to_owned())),
            Err(error) => Err(from_create(&error)),
        }
    }

    /// The first and last sequence of the stream of a service; `None` when there is no stream.
    pub async fn stream_state(&self, service: Service) -> Result<Option<StreamState>, Error> {
        Ok(self.stream_info(service).await?.as_ref().map(StreamState::from))
    }

    /// The replicas of the stream of a service; `None` when there is no stream.
    pub async fn stream_copies(&self, service: Service) -> Result<Option<StreamCopies>, Error> {
        Ok(self.stream_info(service).await?.as_ref().map(StreamCopies::from))
    }

    /// Deletes a service's stream; its events stay in the log, and the relay creates the stream again. For administrators and tests.
    /// Returns whether there was a stream.
    pub async fn delete_stream(&self, service: Service) -> Result<bool, Error> {
        match self.jetstream.delete_stream(subject::stream(service)).await {
            Ok(status) => Ok(status.success),
            Err(error) => match error.kind() {
                GetStreamErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND => Ok(false),
                _ => Err(from_get(&error)),
            },
        }
    }

    /// The event at a position of a service's stream; `None` when there is no message. The server that leads the stream answers this. A
    /// feed would need a consumer, which the cluster might place on a server that is cut off from the others.
    pub async fn event_at(&self, service: Service, position: Position) -> Result<Option<RecordedEvent>, Error> {
        let answered = self.request("it does not show what the stream has", || async {
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

    /// Repeats a request until it is answered, or until the timeout of the settings. `silence` is the error text in that case.
    async fn request<T, F: Future<Output = T>>(&self, silence: &str, send: impl Fn() -> F) -> Result<T, Error> {
        let requesting = async {
            loop {
                if let Ok(answered) = timeout(REQUEST_RETRY, send()).await {
                    return answered;
                }
            }
        };
        timeout(self.timeout, requesting).await.map_err(|_| Error::Unavailable(silence.to_owned()))
    }

    /// The configuration and state of the stream of a service; `None` when there is no stream.
    async fn stream_info(&self, service: Service) -> Result<Option<Info>, Error> {
        let send = || self.jetstream.get_stream(subject::stream(service));
        match self.request("it does not say what the stream has", send).await? {
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
