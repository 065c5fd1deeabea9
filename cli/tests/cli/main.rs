//! Tests of the binary as users run it: real processes and servers, with a home and ports of its own for each test.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod demo;
mod dev;
mod history;
mod lists;
mod offline;
mod proof;
mod rerun;
mod sagas;
mod sandbox;
mod terminal;
