//! The user service's sagas through everything that can go wrong: a story each, and a test a rule.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod address_change;
mod deleting;
mod end_access;
mod mailing;
mod noting;
mod provisioning;
mod texting;
