//! The write side's runtime: authorize, decide, append; the same command once.
//!
//! A [`Request`] says who asks and under which id; a [`Command`] says for what. The [`Executor`] checks the permission, lets
//! the command run over a [`Work`] (aggregates from the cache of recent ones or from the log; new events; claims), and
//! appends what came out together with the command's id and answer. If another writer was faster it runs the command again
//! on the current state, at most three times, unless the caller insists on a version (`If-Match`). What comes out is
//! [`Done`] or a `kernel::Refusal`, and a refusal means that nothing was written.
//!
//! Repetition costs nothing until it happens: the append recognizes a command id that was used before and gives the first
//! answer; and when the state refuses what the command itself did earlier, the id is looked up before the refusal goes out.
//!
//! A stream that is not in the cache is read from its last snapshot on (`snapshots.rs`): every so many events its state is kept
//! beside the log, in the background, under the aggregate's form ([`kernel::Aggregate::FORM`]).
//!
//! To add a command, write a struct with what it needs and implement [`Command`] for it in the commands crate of its
//! domain; nothing here changes. To add a kind of claim, declare a [`ClaimKind`] beside the commands that take it, and what the
//! events say of it in the domain's [`ClaimHistory`].

#![deny(missing_docs)]

mod cache;
mod claim;
mod command;
mod executor;
mod held;
mod history;
mod prepare;
mod refused;
mod repetition;
mod snapshots;
mod time;
mod work;

pub use claim::ClaimKind;
pub use command::{Command, Done, Request};
pub use eventstore::AskedJob;
pub use executor::{Current, Executor, Settings};
pub use held::{ClaimHistory, Held};
pub use refused::by_a_key;
pub use work::{Work, named, not_found};
