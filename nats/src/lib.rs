//! The bus: what carries events from the log to whoever reads them, over NATS JetStream. It knows nothing of Postgres.
//!
//! Each service has one stream whose sequence numbers are the positions of its log. The relay publishes events
//! ([`Bus::publish`]), each on the condition that the one before it is the stream's last, so that nobody can skip, repeat or
//! reorder; readers take a feed ([`Bus::feed`]) that begins at a position and has no gap. An event travels as a CloudEvent
//! in binary mode ([`cloudevent`]): its attributes are headers, its body is the payload as stored. The log is the truth: a
//! stream that was lost is created anew ([`Bus::ensure_stream`]) and filled again.
//!
//! To add a kind of stream (jobs, dead letters, telemetry), give it a file beside `stream.rs` with its name, subjects and
//! limits; to add a header, put it into `cloudevent.rs`, both ways, and the round trip test tells what was forgotten.

#![deny(missing_docs)]

mod bus;
pub mod cloudevent;
mod dead_letters;
mod error;
mod feed;
mod publish;
pub mod server;
mod stream;
pub mod subject;
mod wake;

pub use bus::{Bus, Credentials, Settings};
pub use dead_letters::{DEAD_LETTERS, DeadLetterNews};
pub use error::{Error, PublishError};
pub use stream::{StreamCopies, StreamSettings, StreamState};
