//! The executor over a real log in a real Postgres: one binary, a test a rule.

// What is not a test itself but belongs to one may give up like one.
#![allow(clippy::unwrap_used, clippy::panic)]

mod executing {
    pub mod lamp;
    pub mod support;

    mod backdating;
    mod claiming;
    mod competing;
    mod deciding;
    mod matching;
    mod repeating;
    mod snapshots;
    mod surviving;
    mod upcasting;
}
