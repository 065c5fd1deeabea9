//! The keys that sign a tenant's tokens: which there are, another one, one less.

use auth_aggregates::{Algorithm, KeyRing, KeyUse, OurAlgorithm};
use auth_commands::RetireSigningKey;
use chrono::{DateTime, Utc};
use face::operation::Found;
use face::{Authenticated, Changed, Command, Empty, Example, Problem, Resource, Runtime, example};
use poem_openapi::OpenApi;
use poem_openapi::param::Path;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Tag;
use crate::SERVICE;

/// The operations on signing keys.
pub struct SigningKeys {
    runtime: Runtime,
}

impl SigningKeys {
    pub fn new(runtime: Runtime) -> Self {
        Self { runtime }
    }
}

/// Of which algorithm another key is to be.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"algorithm": "ES256"}))]
struct Rotation {
    /// `EdDSA`, with which tokens are signed if nothing else is said, `ES256` or `RS256`.
    #[serde(default)]
    algorithm: OurAlgorithm,
}

/// A key that signs, will sign, or did.
#[derive(Debug, Serialize, JsonSchema)]
struct SigningKey {
    /// Its id, which tokens name in their header.
    kid: String,
    /// How it signs.
    algorithm: Algorithm,
    /// From when on it signs.
    signs_from: DateTime<Utc>,
    /// What it does now: it `waits`, `signs`, or only `verifies`.
    status: KeyUse,
}

/// The keys of a tenant.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SigningKeys")]
struct SigningKeyList {
    /// In the order in which they were made.
    keys: Vec<SigningKey>,
}

/// Which key it is.
#[derive(Debug, Serialize, JsonSchema)]
struct KeyId {
    /// Its id.
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
    /// The keys that sign the tenant's tokens
    ///
    /// Their public parts are at `/t/<tenant>/jwks`. A tenant of which nothing was signed yet has none.
    #[oai(path = "/v1/auth/signing-keys", method = "get", operation_id = "listSigningKeys")]
    async fn list(&self, Authenticated(caller): Authenticated) -> Found<SigningKeyList> {
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
        Ok(Resource { body: SigningKeyList { keys: keys.collect() }, version })
    }

    /// Have tokens signed with a new key
    ///
    /// It is shown at once, and signs when those who verify have had the time to fetch it (`INOPSIO_KEY_OVERLAP_SECONDS`). The one before it
    /// verifies on, so no token is refused for it, until it is retired.
    #[oai(path = "/v1/auth/signing-keys/rotate", method = "post", operation_id = "rotateSigningKey")]
    async fn rotate(&self, command: Command<Rotation>) -> Result<Changed<KeyId>, Problem> {
        let algorithm = Algorithm::from(command.body.algorithm);
        let done = self.runtime.signing_keys.rotate(&command.request, algorithm.as_str()).await?;
        Ok(Changed::new(SERVICE, done, |kid| KeyId { kid: kid.clone() }))
    }

    /// Retire a key
    ///
    /// Whatever it signed is refused from now on, everywhere within a second: tokens that are good still, too. The key that signs now can't
    /// be retired; rotate it first.
    #[oai(path = "/v1/auth/signing-keys/:kid/retire", method = "post", operation_id = "retireSigningKey")]
    async fn retire(&self, command: Command<Empty>, kid: Path<String>) -> Result<Changed<KeyId>, Problem> {
        let retire = RetireSigningKey { kid: kid.0.clone() };
        let done = self.runtime.executor.execute(&command.request, &retire).await?;
        Ok(Changed::new(SERVICE, done, |()| KeyId { kid: kid.0 }))
    }
}
