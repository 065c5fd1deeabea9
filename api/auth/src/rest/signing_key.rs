//! Operations on the keys that sign a tenant's tokens: listing, rotating and retiring them.

use auth_aggregates::{Algorithm, KeyRing, KeyUse, OurAlgorithm};
use auth_commands::RetireSigningKey;
use chrono::{DateTime, Utc};
use face::operation::UnstoredResult;
use face::{Authenticated, Changed, Command, Empty, Example, Problem, Resource, Runtime, Unstored, example};
use poem_openapi::OpenApi;
use poem_openapi::param::Path;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Tag, reach};
use crate::SERVICE;

/// Operations on signing keys.
pub struct SigningKeys {
    runtime: Runtime,
}

impl SigningKeys {
    pub fn new(runtime: Runtime) -> Self {
        Self { runtime }
    }
}

/// The algorithm of the next key.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"algorithm": "ES256"}))]
struct Rotation {
    /// `EdDSA`, which signs tokens by default, `ES256` or `RS256`.
    #[serde(default)]
    algorithm: OurAlgorithm,
}

/// A signing key: future, current or past.
#[derive(Debug, Serialize, JsonSchema)]
struct SigningKey {
    /// Key id, which is in the header of tokens.
    kid: String,
    /// Signature algorithm.
    algorithm: Algorithm,
    /// When the key starts to sign.
    signs_from: DateTime<Utc>,
    /// State of the key: `waits`, `signs`, or only `verifies`.
    status: KeyUse,
}

/// Signing keys of a tenant.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SigningKeys")]
struct SigningKeyList {
    /// Keys, in the order in which they were created.
    keys: Vec<SigningKey>,
}

/// A key, by its id.
#[derive(Debug, Serialize, JsonSchema)]
struct KeyId {
    /// Key id.
    kid: String,
}

impl Example for SigningKeyList {
    fn example() -> Self {
        let key = |kid: &str, signs_from, status| SigningKey {
            kid: kid.to_owned(),
            algorithm: Algorithm::EdDSA,
            signs_from: example::time(signs_from),
            status,
        };
        Self {
            keys: vec![
                key("7dZ1qvmS2yEoV0m4n9bKcw", 0, KeyUse::Verifies),
                key("Zx0Pz3hTQm2l1cW8u6yJ4g", 90 * 24 * 60, KeyUse::Signs),
            ],
        }
    }
}

impl Example for KeyId {
    fn example() -> Self {
        Self { kid: "Zx0Pz3hTQm2l1cW8u6yJ4g".to_owned() }
    }
}

#[OpenApi(tag = "Tag::SigningKeys")]
impl SigningKeys {
    /// List the tenant's signing keys
    ///
    /// The public keys are at `/t/<tenant>/jwks`. A tenant has no keys until its first token is signed.
    #[oai(path = "/v1/auth/signing-keys", method = "get", operation_id = "listSigningKeys")]
    async fn list(&self, Authenticated(caller): Authenticated) -> UnstoredResult<SigningKeyList> {
        caller.require("auth:key:read")?;
        let found = self.runtime.executor.load::<KeyRing>(&caller, &caller.tenant().to_string()).await?;
        let (ring, version) = found.unwrap_or_default();
        let now = self.runtime.executor.now();
        let keys = ring.keys.iter().map(|key| SigningKey {
            kid: key.kid.clone(),
            algorithm: key.algorithm,
            signs_from: key.signs_from,
            status: ring.use_of(&key.kid, now).unwrap_or(KeyUse::Verifies),
        });
        Ok(Unstored(Resource { body: SigningKeyList { keys: keys.collect() }, version }))
    }

    /// Rotate the signing key
    ///
    /// The new key is published at once, and signs after a delay in which verifiers can fetch it (`INOPSIO_KEY_OVERLAP_SECONDS`). The
    /// previous key continues to verify until it is retired, so that its tokens stay valid.
    #[oai(path = "/v1/auth/signing-keys/rotate", method = "post", operation_id = "rotateSigningKey")]
    async fn rotate(&self, command: Command<Rotation>) -> Result<Changed<KeyId>, Problem> {
        let algorithm = Algorithm::from(command.body.algorithm);
        let done = self.runtime.signing_keys.rotate(&command.request, algorithm.as_str()).await?;
        Ok(Changed::new(SERVICE, done, |kid| KeyId { kid: kid.clone() }))
    }

    /// Retire a signing key
    ///
    /// All tokens that it signed are refused everywhere within a second, even if they have not expired. The key that currently signs can't
    /// be retired; rotate it first. Needs all permissions of administrators, because their tokens are refused, too.
    #[oai(path = "/v1/auth/signing-keys/:kid/retire", method = "post", operation_id = "retireSigningKey")]
    async fn retire(&self, command: Command<Empty>, kid: Path<String>) -> Result<Changed<KeyId>, Problem> {
        let retire = RetireSigningKey { kid: kid.0.clone(), reach: reach(&self.runtime) };
        let done = self.runtime.executor.execute(&command.request, &retire).await?;
        Ok(Changed::new(SERVICE, done, |()| KeyId { kid: kid.0 }))
    }
}
