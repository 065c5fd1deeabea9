//! The bus: carries events from the log to their readers, over NATS JetStream. This crate knows nothing of Postgres.
//!
//! Each service has one stream whose sequence numbers are the positions of its log. The relay publishes events
//! ([`Bus::publish`]), each on the condition that the previous one is the stream's last, so nothing can be skipped, repeated or
//! reordered. Readers use a feed ([`Bus::feed`]), which begins at a position and has no gaps. An event is sent as a CloudEvent
//! in binary mode ([`cloudevent`]): its attributes are headers, its body is the payload as stored. The log is the source of truth: a
//! stream that was lost is created again ([`Bus::ensure_stream`]) and refilled.
//!
//! To add a kind of stream, add a file beside `stream.rs` with its name, subjects and
//! limits. To add a header, add it to `cloudevent.rs`, in both directions; a round-trip test fails when one is missing.

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
