//! The directory against a real Postgres.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod flooding;
mod losing;
mod releasing;
mod test_directory;
