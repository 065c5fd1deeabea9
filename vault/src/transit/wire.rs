//! The JSON requests and responses of the transit engine.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keys::Context;
use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

/// How the context is bound to a wrapped key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Binding {
    /// The key that encrypts is derived from the context (`context`).
    Derived,
    /// The context is authenticated (`associated_data`).
    Associated,
}

#[derive(Deserialize)]
pub(super) struct KeyResponse {
    pub(super) data: KeyProperties,
}

/// The properties of a key.
#[derive(Deserialize)]
pub(super) struct KeyProperties {
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
pub(super) struct BatchRequest {
    pub(super) batch_input: Vec<BatchItem>,
}

#[derive(Serialize)]
pub(super) struct BatchItem {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) plaintext: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ciphertext: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) context: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) associated_data: Option<String>,
}

impl BatchItem {
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

impl Drop for BatchItem {
    fn drop(&mut self) {
        self.plaintext.zeroize();
    }
}

#[derive(Deserialize)]
pub(super) struct BatchResponse {
    pub(super) data: Results,
}

#[derive(Deserialize)]
pub(super) struct Results {
    pub(super) batch_results: Vec<ItemResult>,
}

#[derive(Deserialize)]
pub(super) struct ItemResult {
    #[serde(default)]
    pub(super) plaintext: String,
    #[serde(default)]
    pub(super) ciphertext: String,
    #[serde(default)]
    pub(super) error: String,
}

impl Drop for ItemResult {
    fn drop(&mut self) {
        self.plaintext.zeroize();
    }
}

/// The version of the key with which a ciphertext was made; `None`: it is not a ciphertext of Vault.
pub(super) fn version(ciphertext: &str) -> Option<u64> {
    ciphertext.strip_prefix("vault:v")?.split_once(':')?.0.parse().ok()
}
