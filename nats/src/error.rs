//! What can go wrong on the bus.

use kernel::{Position, Service};

/// A failure of the bus. Nothing of it is about a single event but [`Unreadable`](Self::Unreadable).
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The settings can't be used: an unreadable URL, a token file that is none.
    #[error("the bus is not configured well: {0}")]
    Settings(String),
    /// The server does not answer, or refused the connection. Try again later.
    #[error("the bus does not answer: {0}")]
    Unavailable(String),
    /// The server answered, with a refusal that trying again will not change.
    #[error("the bus refused: {0}")]
    Refused(String),
    /// The stream begins after the wanted position: what is missing must come from the log.
    #[error("the stream of {service} begins at {first}, after {wanted}: read the log up to there")]
    Gap {
        /// Whose stream.
        service: Service,
        /// The position that was to come.
        wanted: Position,
        /// The first that the stream has.
        first: Position,
    },
    /// A message of the stream is not an event as we publish them: somebody else wrote into the stream.
    #[error("the message at {position} can't be read: {reason}")]
    Unreadable {
        /// Its sequence in the stream.
        position: Position,
        /// What is wrong with it.
        reason: String,
    },
}

/// Why publishing stopped. `reached` is the last position whose storing the server confirmed; whether those after it are
/// stored is not known, so read the stream's state and go on from there.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The stream's last message is another one: a second publisher, or a stream that lost its tail.
    #[error("the stream does not end with {expected} as it should")]
    WrongLastSequence {
        /// The last position that was confirmed.
        reached: Position,
        /// What the stream should have ended with before the run of events that was refused.
        expected: Position,
        /// What it ends with; `None` when the server does not say.
        actual: Option<Position>,
    },
    /// The server stored the event at another sequence than its position: the stream is not the one that we filled.
    #[error("the event at {position} was stored as {sequence}")]
    WrongSequence {
        /// The last position that was confirmed.
        reached: Position,
        /// The event's position.
        position: Position,
        /// Its sequence in the stream.
        sequence: u64,
    },
    /// There is no such stream.
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
        /// What was waited for.
        reason: String,
    },
    /// This event can't be published as it is, whenever it is tried: its names don't make a subject, it is too large, or it
    /// does not follow on the one before it.
    #[error("the event at {position} can't be published: {reason}")]
    Unpublishable {
        /// The last position that was confirmed.
        reached: Position,
        /// The event's position.
        position: Position,
        /// What is wrong with it.
        reason: String,
    },
    /// The server refused for another reason: storage full, a limit.
    #[error("the bus refused: {reason}")]
    Refused {
        /// The last position that was confirmed.
        reached: Position,
        /// What the server said.
        reason: String,
    },
}

impl PublishError {
    /// The last position whose storing was confirmed.
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

    /// The same, with what was confirmed since.
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
