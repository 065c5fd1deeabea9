//! The whole road, as it is run: the `inopsio` binary in processes of its own, a real Postgres, a real nats-server.
//!
//! A test builds a [`world::World`] (servers, migrated databases, one tenant), starts `inopsio serve` in it once or several
//! times, and speaks to it as a [`client::Client`] does, over REST and GraphQL. What must then be true of the log, the stream
//! and the read models, whatever was killed meanwhile, stands in [`log`], [`stream`] and [`read_models`]; what clients were
//! told is in a [`ledger`], which is held against the log.
//!
//! To add a fault, write a `fault_….rs` that breaks something and ends with [`world::World::verify`]. That the checks can
//! fail is shown in `checks.rs` and beside the ledger.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod backup;
mod checks;
mod client;
mod fairness;
mod fault_archive;
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
mod fault_rewrap;
mod fault_stream;
mod fault_two_active;
mod fault_unknown_event;
mod fault_webhook;
mod ledger;
mod load;
mod log;
mod needs;
mod process;
mod read_models;
mod restored;
mod road;
mod sealed;
mod stream;
mod tampered;
mod tmpfs;
mod world;
