//! Configuration files of nats-server.
