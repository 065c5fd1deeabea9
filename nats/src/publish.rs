//! Publishing events in the log's order.

use std::collections::VecDeque;

use async_nats::jetstream::context::{PublishAckFuture, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::{self, ErrorCode};
use kernel::{Position, RecordedEvent, Service};

use crate::bus::MAX_IN_FLIGHT;
use crate::{Bus, PublishError, cloudevent, subject};

impl Bus {
    /// Publishes events that follow on `after`, in the log's order, many in flight; returns the last position stored, which is
    /// `after` when there are no events.
    ///
    /// Each event is published on the condition that the one before it is the stream's last message, and its confirmation must
    /// say that it is stored at its own position. So whatever happens on the way (a second publisher, a lost message, a stream
    /// that was deleted), the stream stays a copy of a beginning of the log; at the first refusal this stops.
    pub async fn publish(
        &self,
        service: Service,
        events: &[RecordedEvent],
        after: Position,
    ) -> Result<Position, PublishError> {
        let mut waiting: VecDeque<(Position, PublishAckFuture)> = VecDeque::with_capacity(MAX_IN_FLIGHT);
        let mut reached = after;
        let mut sent = after;
        for event in events {
            // Confirmations come in order, so the oldest is the one to wait for. Taking them off here also keeps us from waiting
            // for a free place that only we could free.
            if waiting.len() >= MAX_IN_FLIGHT
                && let Some((position, ack)) = waiting.pop_front()
            {
                reached = confirmed(position, ack, reached).await?;
            }
            match self.send(service, event, sent, reached).await {
                Ok(ack) => waiting.push_back((event.position, ack)),
                Err(error) => {
                    // What is in flight may have been stored yet; the caller wants to know how far.
                    while let Some((position, ack)) = waiting.pop_front() {
                        reached = confirmed(position, ack, reached).await?;
                    }
                    return Err(error.at(reached));
                }
            }
            sent = event.position;
        }
        while let Some((position, ack)) = waiting.pop_front() {
            reached = confirmed(position, ack, reached).await?;
        }
        Ok(reached)
    }

    async fn send(
        &self,
        service: Service,
        event: &RecordedEvent,
        after: Position,
        reached: Position,
    ) -> Result<PublishAckFuture, PublishError> {
        let unpublishable = |reason| PublishError::Unpublishable { reached, position: event.position, reason };
        if event.position != after.next() {
            return Err(unpublishable(format!("it does not follow on {after}")));
        }
        let subject = subject::event(service, event).map_err(unpublishable)?;
        let headers = cloudevent::encode(service, event).map_err(unpublishable)?;
        let message =
            PublishMessage::build().headers(headers).expected_last_sequence(after.0).payload(event.payload.clone());
        self.jetstream.send_publish(subject, message).await.map_err(|error| match error.kind() {
            PublishErrorKind::MaxPayloadExceeded => unpublishable(error.to_string()),
            _ => PublishError::Timeout { reached, reason: error.to_string() },
        })
    }
}

/// Waits for a confirmation; the position it confirms.
async fn confirmed(position: Position, ack: PublishAckFuture, reached: Position) -> Result<Position, PublishError> {
    let error = match ack.await {
        Ok(ack) if ack.sequence == position.0 => return Ok(position),
        Ok(ack) => return Err(PublishError::WrongSequence { reached, position, sequence: ack.sequence }),
        Err(error) => error,
    };
    let expected = Position(position.0.saturating_sub(1));
    Err(match error.kind() {
        PublishErrorKind::WrongLastSequence => {
            PublishError::WrongLastSequence { reached, expected, actual: last_number(&error.to_string()) }
        }
        PublishErrorKind::StreamNotFound => PublishError::NoStream { reached },
        PublishErrorKind::TimedOut | PublishErrorKind::BrokenPipe => {
            PublishError::Timeout { reached, reason: error.to_string() }
        }
        _ => match std::error::Error::source(&error).and_then(|source| source.downcast_ref::<jetstream::Error>()) {
            // How a clustered server says it.
            Some(cause) if cause.error_code() == ErrorCode::STREAM_WRONG_LAST_SEQUENCE_CONSTANT => {
                PublishError::WrongLastSequence { reached, expected, actual: None }
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
