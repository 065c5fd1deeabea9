//! Real servers for tests.
//!
//! - [`Database::fresh`]: a migrated database of the test's own, on a Postgres that the whole test run shares;
//! - [`copy_prepared`]: several that are prepared in another way, which the first test does for all of its program;
//! - [`Postgres::private`] and [`Postgres::unsynced`]: a Postgres of the test's own, to be killed and restarted;
//! - [`Nats::start`] and [`Nats::cluster`]: nats-servers of the test's own, with JetStream;
//! - [`Network`]: hosts of the test's own for a cluster, that can be cut off from each other;
//! - [`unconfigured`]: a program of ours that gets none of the test run's settings;
//! - [`MailServer`]: a mail server that takes everything, or answers as the test wants;
//! - [`Browser`]: a browser, for pages without scripts;
//! - [`receiver`]: an HTTP server that takes webhooks, and answers as the test wants;
//! - [`VaultDouble`]: what Vault answers, for want of one that is packaged;
//! - [`smuggle`]: an event that no program of today would write;
//! - [`Statements`]: what this process sent to Postgres;
//! - [`lanterns`]: a history of an older program, with events that have retired forms;
//! - [`Hold`]: whoever changes a row is held there, to be killed or cut off;
//! - [`eventually`]: waits for a condition, with a bound, where a test would else have to sleep.
//!
//! Everything listens on 127.0.0.1 (or within such a network), keeps its data in a temporary directory, and ends with the test, however the test
//! ends: each server has a watchdog process that holds a pipe to the test (`watchdog.rs`).
//!
//! A test library: a server that does not start is a panic with what was tried.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod browser;
mod cluster;
mod database;
mod hold;
mod http;
pub mod lanterns;
mod mail_server;
mod nats;
mod network;
mod programs;
pub mod receiver;
mod shared;
mod smuggle;
mod statements;
mod template;
mod vault;
mod wait;
mod watchdog;

pub use browser::{Browser, Shown, base32, form};
pub use cluster::Postgres;
pub use database::{Database, tenant};
pub use hold::Hold;
pub use mail_server::{MailServer, ReceivedMail};
pub use nats::Nats;
pub use network::Network;
pub use programs::{free_port, nats_server, unconfigured};
pub use shared::postgres;
pub use smuggle::smuggle;
pub use statements::Statements;
pub use template::copy_prepared;
pub use vault::{AskedVault, VAULT_TOKEN, VaultDouble};
pub use wait::eventually;

/// The password of every service's roles in tests.
pub const PASSWORD: &str = "a password for tests";
