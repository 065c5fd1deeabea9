//! The log against a real Postgres, and its relay against a real nats-server: one binary, a test a rule.

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
    mod migrating;
    mod moving;
    mod proving;
    mod reading;
    mod relaying;
    mod rewrapping;
    mod sealed_backups;
    mod sealing;
    mod surviving;
}
