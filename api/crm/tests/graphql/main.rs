//! CRM's GraphQL over the whole road: commands, log, bus, read models, all real.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod boards;
mod callers;
mod lists;
mod live;
mod loaders;
mod world;
