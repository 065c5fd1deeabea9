//! Jobs against a real Postgres and a real nats-server.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod asking;
mod cancelling;
mod crashing;
mod fairness;
mod running;
mod world;
