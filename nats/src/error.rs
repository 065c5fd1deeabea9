//! Errors of the bus.

use kernel::{Position, Service};

/// A failure of the bus. Only [`Unreadable`](Self::Unreadable) is about a single event.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The settings are invalid, for example the URL or the text of a `.creds` file.
    #[error("the bus is not configured well: {0}")]
    Settings(String),
    /// The server does not answer, or refused the connection. Try again later.
    #[error("the bus does not answer: {0}")]
    Unavailable(String),
    /// The server refused; trying again will not help.
    #[error("the bus refused: {0}")]
    Refused(String),
    /// The stream begins after the wanted position: read the missing events from the log.
    #[error("the stream of {service} begins at {first}, after {wanted}: read the log up to there")]
    Gap {
        /// The service of the stream.
        service: Service,
        /// The position that the reader wants next.
        wanted: Position,
        /// The first position in the stream.
        first: Position,
    },
    /// A message of the stream is not an event in our format: another program wrote into the stream.
    #[error("the message at {position} can't be read: {reason}")]
    Unreadable {
        /// Its sequence in the stream.
        position: Position,
        /// What is wrong with it.
        reason: String,
    },
}

/// The reason why publishing stopped. `reached` is the last position that the server confirmed as stored. Later ones may be stored too, so
/// read the stream's state and continue from there.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The stream's last sequence is not the expected one: there is a second publisher, or the stream has lost its last messages.
    #[error("the stream does not end with {expected} as it should")]
    WrongLastSequence {
        /// The last position that was confirmed.
        reached: Position,
        /// The expected last position of the stream, before the run of events that was refused.
        expected: Position,
        /// The actual last position; `None` when the server does not report it.
        actual: Option<Position>,
    },
    /// The server stored the event at a sequence that is not its position: the stream was not filled from this log.
    #[error("the event at {position} was stored as {sequence}")]
    WrongSequence {
        /// The last position that was confirmed.
        reached: Position,
        /// The event's position.
        position: Position,
        /// Its sequence in the stream.
        sequence: u64,
    },
    /// The stream does not exist.
    #[error("there is no stream to publish to")]
    NoStream {
        /// The last position that was confirmed.
        reached: Position,
    },
    /// The server did not confirm in time, or the connection is lost.
    #[error("the bus did not confirm: {reason}")]
    Timeout {
        /// The last position that was confirmed.
        reached: Position,
        /// The operation that timed out, or the error.
        reason: String,
    },
    /// This event can't be published, however often it is tried: its names are not valid in a subject, it is too large, or its position
    /// does not follow the previous one.
    #[error("the event at {position} can't be published: {reason}")]
    Unpublishable {
        /// The last position that was confirmed.
        reached: Position,
        /// The event's position.
        position: Position,
        /// What is wrong with it.
        reason: String,
    },
    /// The server refused for another reason, for example full storage or a limit.
    #[error("the bus refused: {reason}")]
    Refused {
        /// The last position that was confirmed.
        reached: Position,
        /// The server's message.
        reason: String,
    },
}

impl PublishError {
    /// The last position that the server confirmed as stored.
    pub const fn reached(&self) -> Position {
        match self {
            Self::WrongLastSequence { reached, .. }
            | Self::WrongSequence { reached, .. }
            | Self::NoStream { reached }
            | Self::Timeout { reached, .. }
            | Self::Unpublishable { reached, .. }
            | Self::Refused { reached, .. } => *reached,
        }
    }

    /// The same error with another last confirmed position.
    pub(crate) fn at(mut self, confirmed: Position) -> Self {
        match &mut self {
            Self::WrongLastSequence { reached, .. }
            | Self::WrongSequence { reached, .. }
            | Self::NoStream { reached }
            | Self::Timeout { reached, .. }
            | Self::Unpublishable { reached, .. }
            | Self::Refused { reached, .. } => *reached = confirmed,
        }
        self
    }
}
