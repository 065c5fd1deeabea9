//! End-to-end tests: the `inopsio` binary as separate processes, with a real Postgres and a real nats-server.
//!
//! A test creates a [`world::World`] (servers, migrated databases, tenants), starts `inopsio serve` in it once or several times, and uses
//! it with a [`client::Client`] over REST and GraphQL. The invariants of the log, the stream and the read models, which must hold after any
//! failure, are checked by [`log`], [`stream`] and [`read_models`]. The [`ledger`] compares the answers that clients got with the log.
//!
//! To add a fault, write a `fault_….rs` that breaks something and ends with [`world::World::verify`]. `checks.rs` and the tests of the
//! ledger show that these checks can fail.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod backup;
mod checks;
mod client;
mod fairness;
mod fault_archive;
mod fault_backup;
mod fault_clock;
mod fault_cluster;
mod fault_crash_points;
mod fault_cut;
mod fault_deletion;
mod fault_disk_full;
mod fault_duplicate_delivery;
mod fault_fsync;
mod fault_gateway;
mod fault_jobs;
mod fault_kill;
mod fault_move;
mod fault_nats_down;
mod fault_partition;
mod fault_poison;
mod fault_recovery;
mod fault_restore;
mod fault_rewrap;
mod fault_stream;
mod fault_two_active;
mod fault_unknown_event;
mod fault_webhook;
mod ledger;
mod load;
mod log;
mod process;
mod read_models;
mod requirements;
mod restored;
mod road;
mod sealed;
mod stream;
mod tampered;
mod tmpfs;
mod world;
