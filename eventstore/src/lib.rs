//! The ordered log of a service in its Postgres database.
//!
//! An [`Append`] (events of one or several streams, a command id, claims) goes through the group committer (`committer`): what
//! waits (`queue`, in turns by tenant) is coalesced into one batch, one round trip, one fsync. Inside the database `log.append`
//! decides each append by itself (command ids, expected versions, claims) and gives the accepted events dense positions in
//! commit order. Readers [load](EventStore::load) one stream (or [resume](EventStore::resume) it from its snapshot),
//! [follow](EventStore::read_after) the positions, or [replay](EventStore::replay) a tenant's history; the [`relay`] puts each
//! event on the bus at the sequence that is its position, from where others [hear](EventStore::feed) it; [`backup`] takes the
//! whole log out at one moment and brings it in again; [`seals`] signs the heads of each tenant's Merkle tree, by which its
//! history is proven; [`transfer`] takes one tenant's to another cell; [`archive`] moves cold streams out of the hot table,
//! where all of these still find them.
//!
//! Personal data is [sealed](sealing) on its way in, under keys that an erasure destroys, and opened for who reads one stream
//! or one tenant's events; who follows all of them gets them as they are stored, and [opens](EventStore::opened) what it
//! decodes.
//!
//! To add to the schema, add a file to `migrations/` (forward only, never edit one that was released) and a line to
//! `admin/migrations.rs`. To read in a new way, add a function beside those in `read.rs`.

#![deny(missing_docs)]

pub mod admin;
pub mod append;
pub mod archive;
pub mod backup;
mod batch;
mod closed;
mod committer;
pub mod database;
pub mod decisions;
mod destroy;
mod error;
mod failure;
mod feed;
mod lane;
pub mod lists;
mod lock;
mod lock_retry;
mod meters;
mod passing;
mod queue;
mod read;
pub mod relay;
mod replay;
mod rewrap;
pub mod sealing;
pub mod seals;
mod settings;
mod snapshot;
mod statement;
mod store;
pub mod transfer;

pub use append::{Append, Appended, AskedJob, Claim, ClaimAct, CommandRecord, NewEvent, StreamAppend};
pub use closed::Closure;
pub use database::{Database, PoolUse, Role, Secret};
pub use destroy::{History, destroy, history};
pub use error::Error;
pub use feed::FeedError;
pub use lock::{Lock, LockClass, LockKey, lock_options};
pub use lock_retry::LockRetry;
pub use passing::{Page, Relayed};
pub use read::{EventSlice, partition_of, stored_in};
pub use relay::Relay;
pub use replay::ReplayFilter;
pub use rewrap::Rewrapped;
pub use sealing::{Sealing, is_sealed};
pub use settings::Settings;
pub use snapshot::{Resumed, Snapshot};
pub use store::{EventStore, StoredCommand};
