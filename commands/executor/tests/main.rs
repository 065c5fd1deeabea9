//! Tests of the executor with a real log in a real Postgres. One binary, one test per rule.

// Helpers of tests may panic like tests.
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
    mod subjects;
    mod surviving;
    mod upcasting;
}
