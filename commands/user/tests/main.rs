//! Tests of the user service's commands with a real log.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod asking {
    mod admitting;
    mod claiming;
    mod escalating;
    mod importing;
    mod importing_later;
    mod inviting;
    mod owning;
    mod permissions;
    mod picturing;
    mod refusing;
    mod registering;
    mod registering_by_policy;
    mod support;
}
