//! A client for HashiCorp Vault and OpenBao: reads secrets that are kept there (KV version 2, [`Client::secrets`]), and uses a master
//! key that never leaves it ([`Transit`], a [`keys::MasterKey`]).
//!
//! A [`Client`] knows Vault's address and how to get a token ([`Credentials`]): a text, a file that is rewritten from time to time, or an
//! AppRole login. If a request is refused although its token is valid, a policy is missing; if the token is invalid, another one is
//! requested, once. Temporary failures (sealed, busy, unreachable) are retried with growing pauses, for as long as the settings say.
//! Only a few requests are open at a time, so that a Vault that hangs takes no threads from others. [`Client::keep`] runs beside a
//! server and renews the token before it expires.
//!
//! A failure is an [`Error`]: one sentence with the address, the request and what to do. Nothing here writes a token, a secret or
//! a key into a log or an error.
//!
//! To use another engine of Vault, add a file beside `transit.rs` that makes a `Request` and parses its response.

#![deny(missing_docs)]

mod client;
mod error;
mod kv;
mod meters;
mod settings;
mod tokens;
mod transit;

pub use client::Client;
pub use error::{Error, Fault, SetUpError};
pub use settings::{Credentials, Secret, Settings, Source};
pub use transit::{Place, Transit};
