//! CRM's commands over a real log in a real Postgres: one binary, a test a rule.

// What is not a test itself but belongs to one may give up like one.
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
    mod permissions;
    mod pipelines;
}
