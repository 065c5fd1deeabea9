//! The runtime of the write side: authorizes a command, lets it decide, and appends its events, exactly once.
//!
//! A [`Request`] has the caller and the command's id; a [`Command`] has the input and the logic. The [`Executor`] checks the permission and
//! runs the command on a [`Work`], a unit of work that reads aggregates (from the cache of recent ones or from the log) and collects new
//! events and claims. It appends the result together with the command's id and answer. If another writer was faster, it runs the command
//! again on the current state, at most three times, unless the caller insists on a version (`If-Match`). The result is [`Done`] or a
//! `kernel::Refusal`; a refusal means that nothing was written.
//!
//! Repeated commands: the append recognizes a command id that was used before, and returns the first answer. If the state refuses
//! what the same command did earlier, the id is looked up before the refusal is returned. So the check costs nothing in the common
//! case.
//!
//! A stream that is not cached is read from its last snapshot on (`snapshots.rs`): at intervals, its state is stored
//! beside the log, in the background, with the version of its form ([`kernel::Aggregate::FORM`]).
//!
//! To add a command, write a struct with its values and implement [`Command`] for it in the commands crate of its
//! domain; nothing here changes. To add a kind of claim, declare a [`ClaimKind`] beside the commands that take it, and derive it from
//! events in the domain's [`ClaimHistory`].

#![deny(missing_docs)]

mod cache;
mod claim;
mod command;
mod domain_policy;
mod executor;
mod held_claims;
mod history;
mod permissions;
mod prepare;
mod refused;
mod repetition;
mod reserved;
mod snapshots;
mod subjects;
mod time;
mod work;

pub use claim::ClaimKind;
pub use command::{Command, Done, Request};
pub use domain_policy::DomainPolicy;
pub use eventstore::AskedJob;
pub use executor::{Current, Executor, Settings};
pub use held_claims::{ClaimHistory, HeldClaims};
pub use permissions::{NoPermissions, Permissions, Standing};
pub use reserved::{is_reserved_id, reserved_for_job, reserved_for_saga};
pub use subjects::SubjectsElsewhere;
pub use work::{Work, named, not_found};
