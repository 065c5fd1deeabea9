//! Publishing events in the log's order, with `Nats-Expected-Last-Sequence` and pipelined confirmations.

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

/// The number of events in a run. Only the last event of a run is confirmed.
const RUN: usize = 256;

/// The most runs that wait for a confirmation, so that the server is busy during the round trip.
const RUNS_IN_FLIGHT: usize = 4;

/// An upper bound for the headers of an event without its metadata, in bytes.
const MAX_HEADER_BYTES: usize = 4 << 10;

/// The message of an event.
struct Message {
    position: Position,
    subject: String,
    headers: HeaderMap,
    payload: Bytes,
}

impl Bus {
    /// Publishes the events that follow `after`, in the log's order, with many in flight. Returns the last stored position, which is
    /// `after` when there are no events.
    ///
    /// Each event is published on the condition that the one before it is the stream's last message. So whatever happens (a second
    /// publisher, a lost message, a deleted stream), the stream remains a prefix of the log: after a message that was not stored, no later
    /// one is stored either. Therefore only the last event of a run needs a confirmation: if it is stored at its own position, so are all
    /// before it. This stops at the first refusal. The error's `reached` is the last confirmed position; the stream may have a few more
    /// events.
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
            // Confirmations come in order, so this waits for the oldest.
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
        // Runs in flight may be stored, so wait for their confirmations to find the last stored position.
        while let Some((position, ack)) = waiting.pop_front() {
            reached = confirmed(position, ack, reached).await?;
        }
        stop.map_or(Ok(reached), |error| Err(error.at(reached)))
    }

    /// Sends a run of at least one message. Returns the last one's position and the future of its confirmation.
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

/// The message of an event, with the condition that the stream's last sequence is `after`. An error says why the event can't be published.
fn message(service: Service, event: &RecordedEvent, after: Position, limit: usize) -> Result<Message, String> {
    if event.position != after.next() {
        return Err(format!("it does not follow on {after}"));
    }
    let subject = subject::event(service, event)?;
    let mut headers = cloudevent::encode(service, event)?;
    headers.insert(NATS_EXPECTED_LAST_SEQUENCE, after.to_string());
    // Escaping makes metadata at most three times as long. The limit is 0 before the first connection.
    let most = event.payload.len() + 3 * event.metadata.len() + MAX_HEADER_BYTES;
    if limit > 0 && most > limit {
        return Err(format!("with its headers it may take {most} bytes; the bus takes {limit}"));
    }
    Ok(Message { position: event.position, subject, headers, payload: event.payload.clone() })
}

/// Waits for the confirmation of a run and returns its last position. `reached` is the last position of the run before.
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
            // A clustered server answers with this error code.
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
