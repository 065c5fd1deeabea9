//! Tests of the log with a real Postgres, and of its relay with a real nats-server: one binary, one test for each rule.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod log {
    pub mod support;

    mod appending;
    mod archiving;
    mod backing_up;
    mod claims;
    mod commands;
    mod deciding;
    mod destroying;
    mod fairness;
    mod isolation;
    mod locking;
    mod losing;
    mod migrating;
    mod moving;
    mod proving;
    mod purging;
    mod reading;
    mod relaying;
    mod rewrapping;
    mod sealed_backups;
    mod sealing;
    mod surviving;
}
