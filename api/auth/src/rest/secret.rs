//! Secrets that are shown once.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use face::{Example, example};
use kernel::Refusal;
use keys::{Random, SystemRandom};
use schemars::JsonSchema;
use serde::Serialize;
use sha2::{Digest, Sha256};
use uuid::Uuid;
use zeroize::Zeroizing;

/// A new secret, in the one answer that shows it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct SecretMade {
    /// Id of the machine, client or key.
    pub id: Uuid,
    /// The secret. It is shown only once, and is absent in the answer to a repeated request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

/// Generates a secret of 256 bits, and the hash of it that is stored.
pub fn fresh() -> Result<(Zeroizing<String>, String), Refusal> {
    let mut bytes = Zeroizing::new([0; 32]);
    SystemRandom.fill(&mut *bytes).map_err(crate::authority::refused)?;
    let secret = Zeroizing::new(format!("inm_{}", URL_SAFE_NO_PAD.encode(*bytes)));
    let hash = hex::encode(Sha256::digest(&*secret));
    Ok((secret, hash))
}

impl Example for SecretMade {
    fn example() -> Self {
        Self { id: example::id(2), secret: Some("example-secret-3f9c1b7a5d2e4860".to_owned()) }
    }
}
