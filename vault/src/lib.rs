//! HashiCorp Vault and OpenBao, as far as we need them: secrets that are kept there (KV version 2, [`Client::secrets`]), and a master key
//! that never leaves it ([`Transit`], a [`keys::MasterKey`]).
//!
//! A [`Client`] knows where Vault is and how it gets a token ([`Credentials`]): a text, a file that somebody writes anew, or a role's
//! login. Each question goes out with that token; one that is refused although its token is good lacks a policy, and with a bad token
//! another is got, once. What may pass (sealed, busy, away) is asked again with growing pauses, for as long as the settings say, and no
//! more than a few questions are open at a time, so that a Vault that hangs takes no threads from others. [`Client::keep`] runs beside a
//! server and renews the token before it ends.
//!
//! What goes wrong is an [`Error`]: one sentence with the address, what was asked and what to do. Nothing here logs a token, a secret or
//! a key, or says one in an error.
//!
//! To use another engine of Vault, add a file beside `transit.rs`: it makes an `Ask`, and reads the answer.

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
