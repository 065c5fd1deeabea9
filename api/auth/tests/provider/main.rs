//! The provider of a tenant as its clients and browsers meet it: over HTTP, on a real log. People are a double.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod attacks;
mod device;
mod flow;
mod idp;
mod pages;
mod saml;
mod saml_attacks;
mod second_factor;
mod world;
