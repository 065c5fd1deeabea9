//! The gateway as its clients meet it: over HTTP, against a real Postgres and a real nats-server.

mod authentication;
mod commands;
mod world;
