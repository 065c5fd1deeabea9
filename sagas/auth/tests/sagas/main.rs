//! Tests of the auth service's sagas: a story per saga, run through all failures, and a test per rule.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod account_change;
mod logout;
mod password_link;
