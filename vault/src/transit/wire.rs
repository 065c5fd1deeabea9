//! What is asked of the engine and what it answers, as JSON.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keys::Context;
use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

/// How a context goes along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Binding {
    /// Another key is derived of it.
    Derived,
    /// It is authenticated.
    Associated,
}

#[derive(Deserialize)]
pub(super) struct Read {
    pub(super) data: Made,
}

/// How a key was made.
#[derive(Deserialize)]
pub(super) struct Made {
    #[serde(rename = "type")]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) derived: bool,
    #[serde(default)]
    pub(super) exportable: bool,
    #[serde(default)]
    pub(super) deletion_allowed: bool,
    pub(super) latest_version: u64,
}

#[derive(Serialize)]
pub(super) struct Batch {
    pub(super) batch_input: Vec<Item>,
}

#[derive(Serialize)]
pub(super) struct Item {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) plaintext: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ciphertext: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) context: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) associated_data: Option<String>,
}

impl Item {
    pub(super) fn new(
        binding: Binding,
        context: Context<'_>,
        plaintext: Option<String>,
        ciphertext: Option<&str>,
    ) -> Self {
        let bound = STANDARD.encode(context.bytes());
        let (context, associated_data) = match binding {
            Binding::Derived => (Some(bound), None),
            Binding::Associated => (None, Some(bound)),
        };
        Self { plaintext, ciphertext: ciphertext.map(str::to_owned), context, associated_data }
    }
}

impl Drop for Item {
    fn drop(&mut self) {
        self.plaintext.zeroize();
    }
}

#[derive(Deserialize)]
pub(super) struct Answered {
    pub(super) data: Results,
}

#[derive(Deserialize)]
pub(super) struct Results {
    pub(super) batch_results: Vec<Outcome>,
}

#[derive(Deserialize)]
pub(super) struct Outcome {
    #[serde(default)]
    pub(super) plaintext: String,
    #[serde(default)]
    pub(super) ciphertext: String,
    #[serde(default)]
    pub(super) error: String,
}

impl Drop for Outcome {
    fn drop(&mut self) {
        self.plaintext.zeroize();
    }
}

/// Under which version of its key a text of Vault's is encrypted; none: it is none of Vault's.
pub(super) fn version(ciphertext: &str) -> Option<u64> {
    ciphertext.strip_prefix("vault:v")?.split_once(':')?.0.parse().ok()
}
