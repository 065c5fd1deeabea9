//! CRM's sagas through everything that can go wrong: a story each, and a test a rule.

#![allow(clippy::unwrap_used, clippy::panic)]

mod coming_and_going;
mod dead_letters;
mod destroying;
mod fencing;
mod follow_up;
mod hearing;
mod operating;
mod recipients;
mod reverting;
mod turns;
