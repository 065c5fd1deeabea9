//! The bus against a real nats-server.

mod events;
mod feed;
mod publish;
mod server;
mod stream;
mod wake;
