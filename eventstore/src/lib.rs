//! The ordered event log of a service, in its Postgres database.
//!
//! **Writing.** An [`Append`] (events of one or several streams, a command id, claims) goes through the group committer
//! (`committer`): waiting appends (`queue`, in turns by tenant) are combined into one batch, with one round trip and one fsync. In the
//! database, the function `log.append` decides each append separately (command ids, expected versions, claims), and gives the
//! accepted events positions without gaps, in commit order.
//!
//! **Reading.** Readers [load](EventStore::load) one stream (or [resume](EventStore::resume) it from its snapshot),
//! [follow](EventStore::read_after) the positions, or [replay](EventStore::replay) a tenant's history. The [`relay`] publishes each
//! event on the bus, with its position as the stream sequence, from where others [receive](EventStore::feed) it.
//!
//! **Beside these:** [`backup`] exports and imports the whole log as of one moment; [`seals`] signs the heads of each tenant's Merkle
//! tree, which prove its history; [`transfer`] copies one tenant to another cell; [`archive`] moves inactive streams out of the main
//! table, where all readers still find them; [`supervised`] starts those who follow the log again if they panic, and [`Seldom`] lets
//! them complain once a minute.
//!
//! **In memory.** A server that takes over, or a restored backup, may lack the end of the log. So what a process keeps of the log (states of
//! aggregates, keys) is used in its [epoch](EventStore::epoch) only, which ends when that may have happened. Appends that rest on it are not
//! written in a later one.
//!
//! **Personal data** is [encrypted](sealing) before it is stored, under keys that an erasure destroys. It is decrypted for readers of
//! one stream or one tenant. Readers of all events get it as stored, and [decrypt](EventStore::opened) what they decode.
//!
//! To change the schema, add a file to `migrations/` (forward only; never edit a released one) and a line to
//! `admin/migrations.rs`. To add a query of events, add a function to `read.rs`; one that may return
//! many events reads them as bounded pages (`bounded.rs`).

#![deny(missing_docs)]

pub mod admin;
pub mod append;
mod append_connection;
pub mod archive;
pub mod backup;
mod batch;
mod bounded;
mod channels;
mod check_keys;
mod claim_key;
mod closed;
mod committer;
pub mod database;
pub mod decisions;
mod destroy;
mod epoch;
mod error;
mod failure;
mod feed;
mod following;
pub mod lists;
mod lock;
mod lock_retry;
mod master_key;
mod meters;
mod queue;
mod read;
mod refusal;
pub mod relay;
mod replay;
mod rewrap;
pub mod sealing;
pub mod seals;
mod seldom;
mod server_settings;
mod settings;
mod snapshot;
mod statement;
mod store;
mod supervision;
mod suspended;
pub mod transfer;

pub use append::{Append, Appended, AskedJob, Claim, ClaimAct, CommandRecord, NewEvent, StreamAppend};
pub use bounded::PAGE_BYTES;
pub use channels::{Page, Relayed};
pub use check_keys::check_keys;
pub use claim_key::claim_key_mark;
pub use closed::Closure;
pub use database::{Database, Patience, PoolUse, Role, Secret, within};
pub use destroy::{History, destroy, history};
pub use error::Error;
pub use feed::FeedError;
pub use following::Place;
pub use lock::{Lock, LockClass, LockKey, lock_options};
pub use lock_retry::LockRetry;
pub use read::{EventSlice, head_in, partition_of, stored_in};
pub use refusal::{key_unusable, log_unreadable, refused_as_moving, tenant_moving};
pub use relay::Relay;
pub use replay::ReplayFilter;
pub use rewrap::Rewrapped;
pub use sealing::{Sealing, is_sealed};
pub use seldom::Seldom;
pub use server_settings::server_settings;
pub use settings::Settings;
pub use snapshot::{Resumed, Snapshot};
pub use store::{EventStore, StoredCommand};
pub use supervision::{panicked, panics_of, resume_panic, supervised};
pub use suspended::SuspendedTenants;
