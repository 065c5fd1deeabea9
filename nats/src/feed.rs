//! Reading a service's events in order, without gaps.

use std::time::Duration;

use async_nats::jetstream;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use futures::{FutureExt, Stream, StreamExt, stream};
use kernel::{Backoff, Position, RecordedEvent, Service};
use tokio::time::Instant;

use crate::{Bus, Error, cloudevent, subject};

/// The most events in one batch of a feed, and the bytes of payload and metadata after which a batch ends. Readers keep some dozens of
/// batches for a slow subscriber.
const BATCH: usize = 500;
const BATCH_BYTES: usize = 1 << 20;
/// How many messages, and how many bytes, are requested from the server in advance, so that it never waits for us. A message that is
/// larger than this would never be delivered; events are far smaller.
const PREFETCH: usize = 2_000;
const PREFETCH_BYTES: usize = 8 << 20;
/// The interval of heartbeats while the server has no messages. After twice this time without one, the consumer is created again.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// How long one request for messages is valid.
const EXPIRES: Duration = Duration::from_secs(30);
/// After how long without a reader the server deletes the consumer.
const INACTIVE_THRESHOLD: Duration = Duration::from_secs(30);
/// The number of failed attempts (some seconds) after which a missing stream is logged. A new stream is created by the relay, so it may be
/// missing for a moment.
const QUIET_WHILE_MISSING: u32 = 12;
/// A consumer that lasted at least this long does not count as failed, even if it delivered nothing. It is created again without a pause.
const MIN_LIFETIME: Duration = HEARTBEAT.saturating_mul(2);
/// The number of short-lived consumers in a row that are not logged. They are normal after the stream was deleted or its server stopped.
const QUIET_SHORT_LIVED: u32 = 2;
/// The pauses between attempts to get a consumer.
const BACKOFF: Backoff = Backoff { first: Duration::from_millis(50), longest: Duration::from_millis(400) };

impl Bus {
    /// The events of a service from `start` (inclusive), in batches of those that are available: at most 500, fewer if they are large.
    ///
    /// Positions have no gaps: none is skipped, repeated or out of order. Lost connections, restarts of the server, and a stream that is
    /// missing, or was deleted and filled again, only cause delays. The feed ends after an error, which is [`Error::Gap`] (the stream
    /// begins after the wanted position) or [`Error::Unreadable`].
    pub fn feed(
        &self,
        service: Service,
        start: Position,
    ) -> impl Stream<Item = Result<Vec<RecordedEvent>, Error>> + Send + use<> {
        // Position 0 is before the first event, so a feed from 0 begins at 1.
        let next = Position(start.0.max(1));
        let feed = Feed { bus: self.clone(), service, next, messages: None, created: Instant::now(), failures: 0 };
        stream::unfold(Some(feed), |feed| async {
            let mut feed = feed?;
            match feed.batch().await {
                Ok(events) => Some((Ok(events), Some(feed))),
                Err(error) => Some((Err(error), None)),
            }
        })
    }
}

/// A batch that is being filled.
#[derive(Default)]
struct Batch {
    events: Vec<RecordedEvent>,
    bytes: usize,
}

impl Batch {
    const fn is_full(&self) -> bool {
        self.events.len() >= BATCH || self.bytes >= BATCH_BYTES
    }

    fn push(&mut self, event: RecordedEvent) {
        self.bytes += event.bytes();
        self.events.push(event);
    }
}

/// The state of a feed.
struct Feed {
    bus: Bus,
    service: Service,
    /// The position that comes next.
    next: Position,
    /// The messages of the current consumer; `None` when a consumer has to be created.
    messages: Option<pull::Stream>,
    /// When the current consumer was created.
    created: Instant,
    /// The number of failed attempts in a row.
    failures: u32,
}

impl Feed {
    /// The next events, at least one. Waits for them without a time limit.
    async fn batch(&mut self) -> Result<Vec<RecordedEvent>, Error> {
        loop {
            let mut messages = match self.messages.take() {
                Some(messages) => messages,
                None => match self.consume().await {
                    Ok(Some(messages)) => {
                        self.created = Instant::now();
                        messages
                    }
                    Ok(None) => {
                        self.pause(
                            &Error::Unavailable("the stream does not exist yet".to_owned()),
                            QUIET_WHILE_MISSING,
                        )
                        .await;
                        continue;
                    }
                    Err(error @ Error::Gap { .. }) => return Err(error),
                    Err(error) => {
                        self.pause(&error, 0).await;
                        continue;
                    }
                },
            };
            let mut batch = Batch::default();
            let mut intact = self.accept(messages.next().await, &mut batch)?;
            while intact && !batch.is_full() {
                let Some(ready) = messages.next().now_or_never() else { break };
                intact = self.accept(ready, &mut batch)?;
            }
            if intact {
                self.messages = Some(messages);
            }
            if !batch.events.is_empty() {
                self.failures = 0;
                return Ok(batch.events);
            }
            if !intact && self.created.elapsed() < MIN_LIFETIME {
                self.pause(&Error::Unavailable("its consumers end at once".to_owned()), QUIET_SHORT_LIVED).await;
            } else if !intact {
                self.failures = 0;
            }
        }
    }

    /// Adds the event of a message to the batch. False: the consumer is lost or has skipped a message, so create a new one.
    fn accept(
        &mut self,
        message: Option<Result<jetstream::Message, pull::MessagesError>>,
        batch: &mut Batch,
    ) -> Result<bool, Error> {
        let message = match message {
            Some(Ok(message)) => message,
            Some(Err(error)) => {
                tracing::debug!(service = %self.service, %error, "the feed's consumer is gone");
                return Ok(false);
            }
            None => return Ok(false),
        };
        let Ok(position) = message.info().map(|info| Position(info.stream_sequence)) else { return Ok(true) };
        if position < self.next {
            // A stream that is filled again delivers events that we had. They are the same, because they come from the same log.
            return Ok(true);
        }
        if position > self.next {
            // Messages were lost. A new consumer begins at `next`, or reports a gap if the stream begins later.
            tracing::debug!(service = %self.service, expected = %self.next, got = %position, "the feed lost messages");
            return Ok(false);
        }
        let message = message.message;
        match cloudevent::decode(self.service, position, message.headers.as_ref(), message.payload) {
            Ok(event) => {
                self.next = position.next();
                batch.push(event);
                Ok(true)
            }
            // First return the events before it. The message is delivered again, and is then the first of its batch.
            Err(_) if !batch.events.is_empty() => Ok(false),
            Err(reason) => Err(Error::Unreadable { position, reason }),
        }
    }

    /// Creates a consumer that delivers from the next position on. `None` when there is no stream. The server keeps the consumer in memory
    /// only.
    async fn consume(&self) -> Result<Option<pull::Stream>, Error> {
        let Some(state) = self.bus.stream_state(self.service).await? else { return Ok(None) };
        let first = Position(state.first);
        if first > self.next {
            return Err(Error::Gap { service: self.service, wanted: self.next, first });
        }
        let config = pull::Config {
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: self.next.0 },
            ack_policy: AckPolicy::None,
            inactive_threshold: INACTIVE_THRESHOLD,
            memory_storage: true,
            num_replicas: 1,
            ..pull::Config::default()
        };
        let unavailable = |error: &dyn std::fmt::Display| Error::Unavailable(error.to_string());
        let consumer = self
            .bus
            .jetstream
            .create_consumer_on_stream(config, subject::stream(self.service))
            .await
            .map_err(|error| unavailable(&error))?;
        consumer
            .stream()
            .max_messages_per_batch(PREFETCH)
            .max_bytes_per_batch(PREFETCH_BYTES)
            .heartbeat(HEARTBEAT)
            .expires(EXPIRES)
            .messages()
            .await
            .map(Some)
            .map_err(|error| unavailable(&error))
    }

    /// Pauses after a failure, with backoff. The failure after `quiet` ones in a row is logged.
    async fn pause(&mut self, error: &Error, quiet: u32) {
        // Logged once only: a long outage of the bus is visible in `/ready` and should not fill the log.
        if self.failures == quiet {
            tracing::warn!(service = %self.service, position = %self.next, %error, "the feed waits for the bus");
        }
        self.failures = self.failures.saturating_add(1);
        if self.failures > quiet.max(2) && matches!(error, Error::Unavailable(_)) {
            self.bus.move_on().await;
        }
        tokio::time::sleep(BACKOFF.pause(self.failures)).await;
    }
}
