//! Tests of CRM's commands with a real log in a real Postgres. One binary, one test per rule.

// Helpers of tests may panic like tests.
#![allow(clippy::unwrap_used, clippy::panic)]

mod asking {
    pub mod support;

    mod claiming;
    mod contacts;
    mod converting;
    mod currencies;
    mod erasing;
    mod importing;
    mod leads;
    mod opportunities;
    mod owners;
    mod permissions;
    mod pipelines;
}
