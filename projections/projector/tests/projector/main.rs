//! The projector against a real Postgres and a real nats-server, with a small projection of its own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod deciding;
mod dividing;
mod drifting;
mod feeding;
mod lamps;
mod once;
mod parking;
mod reading;
mod rebuilding;
mod retrying;
mod road;
mod telling;
mod tracing_spans;
mod upcasting;
