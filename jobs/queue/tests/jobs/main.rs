//! Jobs against a real Postgres and a real nats-server.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod appending;
mod asking;
mod batches;
mod cancelling;
mod crashing;
mod fairness;
mod faults;
mod forgetting;
mod queues;
mod restored;
mod running;
mod schedules;
mod suspending;
mod world;
