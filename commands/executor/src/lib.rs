//! The write side's runtime: authorize, decide, append.

#![deny(missing_docs)]

mod claim;
mod command;
mod executor;
mod work;

pub use claim::ClaimKind;
pub use command::{Command, Done, Request};
pub use executor::{Executor, Settings};
pub use work::Work;

/// The permission to say that something happened earlier than now.
pub const BACKDATE: &str = "crm:history:backdate";
