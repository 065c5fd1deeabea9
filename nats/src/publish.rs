//! Publishing events in the log's order.

use std::collections::VecDeque;

use async_nats::HeaderMap;
use async_nats::header::NATS_EXPECTED_LAST_SEQUENCE;
use async_nats::jetstream::context::{PublishAckFuture, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::{self, ErrorCode};
use bytes::Bytes;
use kernel::{Position, RecordedEvent, Service};
use tokio::time::timeout;

use crate::{Bus, PublishError, cloudevent, subject};

/// So many events share one confirmation.
const RUN: usize = 256;

/// So many confirmations may be waited for, so that the server is busy over the round trip.
const RUNS_IN_FLIGHT: usize = 4;

/// The longest header block of an event that is not its metadata, well rounded up.
const HEADERS: usize = 4 << 10;

/// An event as it is sent.
struct Message {
    position: Position,
    subject: String,
    headers: HeaderMap,
    payload: Bytes,
}

impl Bus {
    /// Publishes events that follow on `after`, in the log's order, many in flight; returns the last position stored, which is
    /// `after` when there are no events.
    ///
    /// Each event is published on the condition that the one before it is the stream's last message. So whatever happens on
    /// the way (a second publisher, a lost message, a stream that was deleted), the stream stays a copy of a beginning of the
    /// log, and nothing that follows on a message that was not stored is stored either. That is why only the last of a run
    /// needs a confirmation: if it is stored at its own position, so are all before it. At the first refusal this stops;
    /// `reached` then says what was confirmed, and the stream may have a little more.
    pub async fn publish<'e, E>(&self, service: Service, events: E, after: Position) -> Result<Position, PublishError>
    where
        E: IntoIterator<Item = &'e RecordedEvent>,
    {
        let mut waiting: VecDeque<(Position, PublishAckFuture)> = VecDeque::with_capacity(RUNS_IN_FLIGHT);
        let mut events = events.into_iter();
        let limit = self.client.server_info().max_payload;
        let (mut reached, mut sent) = (after, after);
        let mut stop = None;
        while stop.is_none() {
            let mut run = Vec::new();
            while run.len() < RUN
                && let Some(event) = events.next()
            {
                match message(service, event, sent, limit) {
                    Ok(message) => run.push(message),
                    Err(reason) => {
                        stop = Some(PublishError::Unpublishable { reached, position: event.position, reason });
                        break;
                    }
                }
                sent = event.position;
            }
            if run.is_empty() {
                break;
            }
            // Confirmations come in order, so the oldest is the one to wait for.
            if waiting.len() >= RUNS_IN_FLIGHT
                && let Some((position, ack)) = waiting.pop_front()
            {
                reached = confirmed(position, ack, reached).await?;
            }
            match self.send(run).await {
                Ok(confirmation) => waiting.push_back(confirmation),
                Err(reason) => stop = Some(PublishError::Timeout { reached, reason }),
            }
        }
        // What is in flight may have been stored yet; the caller wants to know how far.
        while let Some((position, ack)) = waiting.pop_front() {
            reached = confirmed(position, ack, reached).await?;
        }
        stop.map_or(Ok(reached), |error| Err(error.at(reached)))
    }

    /// Sends a run of messages, at least one; the confirmation of the last.
    async fn send(&self, mut run: Vec<Message>) -> Result<(Position, PublishAckFuture), String> {
        let last = run.pop().ok_or("nothing was to be sent")?;
        let sending = async {
            for Message { subject, headers, payload, .. } in run {
                let sent = self.client.publish_with_headers(subject, headers, payload).await;
                sent.map_err(|error| error.to_string())?;
            }
            let message = PublishMessage::build().headers(last.headers).payload(last.payload);
            self.jetstream.send_publish(last.subject, message).await.map_err(|error| error.to_string())
        };
        let ack = timeout(self.timeout, sending).await.map_err(|_| "it took nothing in time".to_owned())??;
        Ok((last.position, ack))
    }
}

/// An event as a message on the condition that it follows on `after`. An error says why it can't be one.
fn message(service: Service, event: &RecordedEvent, after: Position, limit: usize) -> Result<Message, String> {
    if event.position != after.next() {
        return Err(format!("it does not follow on {after}"));
    }
    let subject = subject::event(service, event)?;
    let mut headers = cloudevent::encode(service, event)?;
    headers.insert(NATS_EXPECTED_LAST_SEQUENCE, after.to_string());
    // Metadata are at most three times as long when they are escaped. Before the first connection there is no limit yet.
    let most = event.payload.len() + 3 * event.metadata.len() + HEADERS;
    if limit > 0 && most > limit {
        return Err(format!("with its headers it may take {most} bytes; the bus takes {limit}"));
    }
    Ok(Message { position: event.position, subject, headers, payload: event.payload.clone() })
}

/// Waits for a confirmation; the position it confirms. `reached` is what the run before it ended with.
async fn confirmed(position: Position, ack: PublishAckFuture, reached: Position) -> Result<Position, PublishError> {
    let error = match ack.await {
        Ok(ack) if ack.sequence == position.0 => return Ok(position),
        Ok(ack) => return Err(PublishError::WrongSequence { reached, position, sequence: ack.sequence }),
        Err(error) => error,
    };
    Err(match error.kind() {
        PublishErrorKind::WrongLastSequence => {
            PublishError::WrongLastSequence { reached, expected: reached, actual: last_number(&error.to_string()) }
        }
        PublishErrorKind::StreamNotFound => PublishError::NoStream { reached },
        PublishErrorKind::TimedOut | PublishErrorKind::BrokenPipe => {
            PublishError::Timeout { reached, reason: error.to_string() }
        }
        _ => match std::error::Error::source(&error).and_then(|source| source.downcast_ref::<jetstream::Error>()) {
            // How a clustered server says it.
            Some(cause) if cause.error_code() == ErrorCode::STREAM_WRONG_LAST_SEQUENCE_CONSTANT => {
                PublishError::WrongLastSequence { reached, expected: reached, actual: None }
            }
            Some(cause) if cause.error_code() == ErrorCode::STREAM_NOT_FOUND => PublishError::NoStream { reached },
            _ => PublishError::Refused { reached, reason: error.to_string() },
        },
    })
}

/// The number in "wrong last sequence: 42 (code 400, error code 10071)".
fn last_number(text: &str) -> Option<Position> {
    let after = text.rsplit("sequence: ").next()?;
    after.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_actual_sequence_is_taken_from_what_the_server_says() {
        let text = "wrong last sequence: wrong last sequence: 42 (code 400, error code 10071)";
        assert_eq!(last_number(text), Some(Position(42)));
        assert_eq!(last_number("wrong last sequence"), None);
    }
}
