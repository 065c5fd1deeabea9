//! Real servers and other tools for tests.
//!
//! - [`Database::fresh`]: a migrated database for one test, on a Postgres that the whole test run shares;
//! - [`copy_prepared`]: databases that are prepared in another way, as copies of templates that the first test of a program makes;
//! - [`Postgres::private`] and [`Postgres::unsynced`]: a Postgres for one test, which can be killed and restarted;
//! - [`Nats::start`] and [`Nats::cluster`]: nats-servers with JetStream for one test;
//! - [`Network`]: a network for a cluster, whose hosts can be cut off from each other;
//! - [`unconfigured`]: runs one of our programs without the test run's settings;
//! - [`MailServer`]: a mail server that accepts everything, or answers as the test wants;
//! - [`Browser`]: a browser for pages without scripts;
//! - [`receiver`]: an HTTP server that receives webhooks, and answers as the test wants;
//! - [`VaultDouble`]: a double of Vault, because no Vault is packaged for our tests;
//! - [`event`]: an event as readers of a log get it, for tests that need no log;
//! - [`insert_raw_event`]: inserts an event that no current program would write;
//! - [`Statements`]: the SQL statements that this process sent;
//! - [`lanterns`]: a history of an older program, with events of retired versions;
//! - [`Hold`]: blocks a transaction at a defined point, so that its process can be killed there;
//! - [`eventually`]: waits for a condition, with a time limit, instead of sleeping.
//!
//! All servers listen on 127.0.0.1 (or within such a network), keep their data in a temporary directory, and end with the test, however it
//! ends: each server has a watchdog process that holds a pipe to the test (`watchdog.rs`).
//!
//! This is a test library: if a server does not start, it panics with a description.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod browser;
mod cluster;
mod database;
mod event;
mod hold;
mod http;
mod insert_raw_event;
pub mod lanterns;
mod mail_server;
mod nats;
mod network;
mod programs;
pub mod receiver;
mod shared;
mod silence;
mod statements;
mod template;
mod vault;
mod wait;
mod watchdog;

pub use browser::{Browser, Shown, base32, form, upload_form};
pub use cluster::Postgres;
pub use database::{Database, tenant};
pub use event::event;
pub use hold::Hold;
pub use insert_raw_event::insert_raw_event;
pub use mail_server::{MailServer, ReceivedMail};
pub use nats::Nats;
pub use network::Network;
pub use programs::{free_port, nats_server, unconfigured};
pub use shared::postgres;
pub use silence::Silence;
pub use statements::Statements;
pub use template::copy_prepared;
pub use vault::{AskedVault, VAULT_TOKEN, VaultDouble};
pub use wait::eventually;

/// The password of every service's roles in tests.
pub const PASSWORD: &str = "a password for tests";
