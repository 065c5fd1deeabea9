//! The gateway as its clients meet it: over HTTP, against a real Postgres and a real nats-server.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod attacks;
mod authentication;
mod bad_input;
mod branding;
mod breaches;
mod cells;
mod codes;
mod commands;
mod contracts;
mod dead_letters;
mod deletion;
mod domains;
mod drain;
mod feed;
mod fields;
mod first_password;
mod graphql;
#[path = "../../../auth/tests/provider/identity_provider.rs"]
mod identity_provider;
mod issuers;
mod jobs;
mod limits;
mod logging;
mod logout;
mod name_server;
mod operations;
mod operator_tokens;
mod outside;
mod own_data;
mod personal;
mod phone;
mod policy;
mod provisioning;
mod registration;
mod remote;
mod roles;
mod sagas;
mod saml;
mod saml_attacks;
mod scim;
mod sign_in;
mod sources;
mod standing;
mod states;
mod tenants;
mod texts;
mod town;
mod traces;
mod unasked;
mod users;
mod walk;
mod webhooks;
mod websocket;
mod world;
