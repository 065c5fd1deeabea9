//! Reading a service's events in order, without gaps.

use std::time::Duration;

use async_nats::jetstream;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use futures::{FutureExt, Stream, StreamExt, stream};
use kernel::{Position, RecordedEvent, Service};
use tokio::time::Instant;

use crate::{Bus, Error, cloudevent, subject};

/// Events handed over at once, at most: so many, or those that have so many bytes of payload and metadata. Readers keep some dozens of
/// batches for who is slow.
const BATCH: usize = 500;
const BATCH_BYTES: usize = 1 << 20;
/// Events asked for in advance, so that the server never waits for us, and the most bytes of them. A message that is larger than that would
/// never come; no event is, by far.
const AHEAD: usize = 2_000;
const AHEAD_BYTES: usize = 8 << 20;
/// How often the server says that it is there although it has nothing; twice as long without a word, and we ask anew.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// How long one request for events stands.
const EXPIRES: Duration = Duration::from_secs(30);
/// When the server forgets a reader that went away.
const FORGOTTEN: Duration = Duration::from_secs(30);
/// A stream that is not there yet is about to be made by the relay; after so many looks in vain (some seconds) nobody seems to
/// make it.
const LOOKS: u32 = 12;
/// A consumer that lived for so long was of use, although it brought nothing: it is made again at once.
const LIVED: Duration = HEARTBEAT.saturating_mul(2);
/// So many in a row that were of no use are nothing to speak of: the stream was deleted, or its server went away.
const USELESS: u32 = 2;

impl Bus {
    /// The events of a service from `start` (inclusive), in batches of what is ready, at most 500; large ones fewer at a time.
    ///
    /// Positions are dense: none is skipped, repeated or out of order, through lost connections, restarts of the server, and
    /// streams that were deleted and filled again; all that only takes time, and so does a stream that does not exist yet. It
    /// ends after an error, which is [`Error::Gap`] (the stream begins after the wanted position) or [`Error::Unreadable`].
    pub fn feed(
        &self,
        service: Service,
        start: Position,
    ) -> impl Stream<Item = Result<Vec<RecordedEvent>, Error>> + Send + use<> {
        // Position 0 is before the first event; reading "from 0" is reading from the first.
        let next = Position(start.0.max(1));
        let feed = Feed { bus: self.clone(), service, next, messages: None, made: Instant::now(), failures: 0 };
        stream::unfold(Some(feed), |feed| async {
            let mut feed = feed?;
            match feed.batch().await {
                Ok(events) => Some((Ok(events), Some(feed))),
                Err(error) => Some((Err(error), None)),
            }
        })
    }
}

/// Events that are handed over at once.
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

struct Feed {
    bus: Bus,
    service: Service,
    /// The position that comes next.
    next: Position,
    /// The consumer that delivers from there; none: it has to be made.
    messages: Option<pull::Stream>,
    /// When the last one was made.
    made: Instant,
    /// Attempts in a row that failed.
    failures: u32,
}

impl Feed {
    /// The next events, at least one. Waits for them, however long it takes.
    async fn batch(&mut self) -> Result<Vec<RecordedEvent>, Error> {
        loop {
            let mut messages = match self.messages.take() {
                Some(messages) => messages,
                None => match self.consume().await {
                    Ok(Some(messages)) => {
                        self.made = Instant::now();
                        messages
                    }
                    Ok(None) => {
                        self.pause(&Error::Unavailable("the stream does not exist yet".to_owned()), LOOKS).await;
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
            let mut intact = self.take(messages.next().await, &mut batch)?;
            while intact && !batch.is_full() {
                let Some(ready) = messages.next().now_or_never() else { break };
                intact = self.take(ready, &mut batch)?;
            }
            if intact {
                self.messages = Some(messages);
            }
            if !batch.events.is_empty() {
                self.failures = 0;
                return Ok(batch.events);
            }
            if !intact && self.made.elapsed() < LIVED {
                self.pause(&Error::Unavailable("its consumers end at once".to_owned()), USELESS).await;
            } else if !intact {
                self.failures = 0;
            }
        }
    }

    /// Takes over a message. False: this consumer is of no use any more, go on with a new one.
    fn take(
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
            // A stream that is filled again delivers what we had; it is the same log.
            return Ok(true);
        }
        if position > self.next {
            // Lost on the way. The new consumer begins where we are, or finds that the stream does not reach back so far.
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
            // What came before it is whole; it shows itself again when it is the first.
            Err(_) if !batch.events.is_empty() => Ok(false),
            Err(reason) => Err(Error::Unreadable { position, reason }),
        }
    }

    /// A consumer that delivers from the next position on; none while there is no stream. The server keeps nothing of it on
    /// disk.
    async fn consume(&self) -> Result<Option<pull::Stream>, Error> {
        let Some(state) = self.bus.stream_state(self.service).await? else { return Ok(None) };
        let first = Position(state.first);
        if first > self.next {
            return Err(Error::Gap { service: self.service, wanted: self.next, first });
        }
        let config = pull::Config {
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: self.next.0 },
            ack_policy: AckPolicy::None,
            inactive_threshold: FORGOTTEN,
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
            .max_messages_per_batch(AHEAD)
            .max_bytes_per_batch(AHEAD_BYTES)
            .heartbeat(HEARTBEAT)
            .expires(EXPIRES)
            .messages()
            .await
            .map(Some)
            .map_err(|error| unavailable(&error))
    }

    /// Rests after a failure; `quiet`: how many are nothing to speak of.
    async fn pause(&mut self, error: &Error, quiet: u32) {
        // Once is enough to know; a bus that is away for an hour shows in `/ready`, not in an hour of log lines.
        if self.failures == quiet {
            tracing::warn!(service = %self.service, position = %self.next, %error, "the feed waits for the bus");
        }
        self.failures = self.failures.saturating_add(1);
        if self.failures > quiet.max(2) && matches!(error, Error::Unavailable(_)) {
            self.bus.move_on().await;
        }
        let pause = Duration::from_millis(25) * 2_u32.pow(self.failures.min(4));
        tokio::time::sleep(pause).await;
    }
}
