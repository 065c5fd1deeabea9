//! The sections with keys and secrets, and Vault.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize, Serializer};

/// A secret text, which is never shown in debug output or when serialized.
#[derive(Clone, Default, Deserialize, PartialEq, Eq)]
#[serde(transparent)]
pub struct SecretText(String);

impl SecretText {
    /// Wraps a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether it is empty, which means that it is not set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "(none)" } else { "(secret)" })
    }
}

impl Serialize for SecretText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(if self.0.is_empty() { "" } else { "(secret)" })
    }
}

/// Tokens and keys.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    /// The master key that wraps tenants' keys: 64 hexadecimal digits, or its place in Vault (`transit:<mount>/<key>`).
    pub master_key: SecretText,
    /// The previous master key, needed to unwrap keys until all of them are rewrapped.
    pub former_master_key: SecretText,
    /// Lifetime in seconds of access tokens of a tenant's issuer.
    pub access_token_seconds: u32,
    /// Seconds for which a new signing key is published before it signs.
    pub key_overlap_seconds: u32,
    /// Number of days after which a signing key is rotated automatically; 0: never.
    pub key_rotation_days: u32,
    /// The Ed25519 public key that verifies tokens of `inopsio token`, as PEM; empty: such tokens are not accepted.
    pub public_key: SecretText,
    /// The Ed25519 private key that signs such tokens, as PEM; needed only by `inopsio token`.
    pub signing_key: SecretText,
    /// Required issuer (`iss`) of tokens of `inopsio token`.
    pub issuer: String,
    /// Required audience (`aud`) of tokens.
    pub audience: String,
    /// Allowed clock skew in seconds.
    pub leeway_seconds: u64,
    /// Service that checks new passwords for known breaches, such as `https://api.pwnedpasswords.com/range`; empty: no check.
    pub breaches_url: String,
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            master_key: SecretText::default(),
            former_master_key: SecretText::default(),
            access_token_seconds: 900,
            key_overlap_seconds: 3_600,
            key_rotation_days: 90,
            public_key: SecretText::default(),
            signing_key: SecretText::default(),
            issuer: "inopsio".to_owned(),
            audience: "inopsio".to_owned(),
            leeway_seconds: 5,
            breaches_url: String::new(),
        }
    }
}

/// Signed proofs of tenants' histories.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Audit {
    /// Seed of the Ed25519 key that signs the tree heads of tenants: 64 hexadecimal digits; empty: they are not signed.
    pub seal_key: SecretText,
}

/// Vault, for secrets that are given as `vault:<mount>/<path>#<key>`, and for a master key that stays there (`transit:<mount>/<key>`).
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Vault {
    /// Its URL.
    pub address: String,
    /// The token.
    pub token: SecretText,
    /// The file with the token, which is read again when it changes.
    pub token_file: Option<PathBuf>,
    /// The AppRole role id for logging in, instead of a token.
    pub role_id: Option<String>,
    /// The secret id of that role.
    pub secret_id: SecretText,
    /// The file with the secret id, which is read at each login.
    pub secret_id_file: Option<PathBuf>,
    /// The mount path of AppRole.
    pub approle_mount: String,
    /// The namespace, if Vault has several.
    pub namespace: Option<String>,
    /// A file with the trusted certificate authorities for Vault, as PEM; `None`: those of the machine.
    pub ca_file: Option<PathBuf>,
    /// Timeout of a request to Vault in seconds, including retries.
    pub timeout_seconds: u64,
}

impl Default for Vault {
    fn default() -> Self {
        Self {
            address: "https://127.0.0.1:8200".to_owned(),
            token: SecretText::default(),
            token_file: None,
            role_id: None,
            secret_id: SecretText::default(),
            secret_id_file: None,
            approle_mount: "approle".to_owned(),
            namespace: None,
            ca_file: None,
            timeout_seconds: 5,
        }
    }
}
