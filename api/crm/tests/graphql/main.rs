//! CRM's GraphQL, tested end to end: commands, event log, bus and read models are real.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod boards;
mod callers;
mod lists;
mod live;
mod loaders;
mod world;
