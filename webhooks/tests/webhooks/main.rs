//! Webhooks, from a real log to a real HTTP receiver.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod backing_up;
mod configuring;
mod delivering;
mod failing;
mod parking;
mod suspending;
mod world;
