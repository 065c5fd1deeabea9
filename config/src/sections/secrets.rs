//! Secrets, and where they are kept.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize, Serializer};

/// A secret: never shown.
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

    /// Whether there is none.
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

/// Tokens.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    /// The key under which tenants' keys are wrapped: 64 hexadecimal digits, or where it is in Vault (`transit:<mount>/<key>`).
    pub master_key: SecretText,
    /// The one before it, which opens what it wrapped until that is wrapped anew.
    pub former_master_key: SecretText,
    /// How many seconds an access token of a tenant's issuer is valid.
    pub access_token_seconds: u32,
    /// For how many seconds a new signing key is only shown, before it signs.
    pub key_overlap_seconds: u32,
    /// After how many days of signing a key is followed by another one by itself; 0: never.
    pub key_rotation_days: u32,
    /// The Ed25519 public key that verifies tokens of `inopsio token`, as PEM; none: there are none.
    pub public_key: SecretText,
    /// The Ed25519 private key that mints tokens, as PEM; only `inopsio token` needs it.
    pub signing_key: SecretText,
    /// Who must have issued a token of `inopsio token`.
    pub issuer: String,
    /// For whom a token must be.
    pub audience: String,
    /// How many seconds clocks may differ.
    pub leeway_seconds: u64,
    /// Who tells which new passwords were seen in breaches, such as `https://api.pwnedpasswords.com/range`; empty: nobody is asked.
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

/// Proof.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Audit {
    /// The seed of the Ed25519 key that signs the heads of tenants' trees: 64 hexadecimal digits; none: nobody signs them.
    pub seal_key: SecretText,
}

/// Vault, for secrets that are given as `vault:<mount>/<path>#<key>`, and for a master key that stays there (`transit:<mount>/<key>`).
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Vault {
    /// Its URL.
    pub address: String,
    /// The token that may do that.
    pub token: SecretText,
    /// The file in which it stands, which is read again when somebody writes it anew.
    pub token_file: Option<PathBuf>,
    /// The role that logs in (AppRole), instead of a token.
    pub role_id: Option<String>,
    /// What it logs in with.
    pub secret_id: SecretText,
    /// The file in which that stands, read at each login.
    pub secret_id_file: Option<PathBuf>,
    /// Where that way to log in is mounted.
    pub approle_mount: String,
    /// The namespace, where Vault has several.
    pub namespace: Option<String>,
    /// A file with the authorities by whom Vault's certificate may be signed, PEM; none: those of the machine.
    pub ca_file: Option<PathBuf>,
    /// How many seconds Vault may take, repetitions included.
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
