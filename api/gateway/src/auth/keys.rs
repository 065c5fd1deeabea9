//! The installation's key pair, and minting tokens with it.

use std::fmt::Display;
use std::time::Duration;

use config::Auth;
use jwt_simple::prelude::{Claims, Ed25519KeyPair, EdDSAKeyPairLike};
use kernel::TenantId;

use super::{TokenClaims, jwk};

/// A pair of Ed25519 keys in PEM: the private key signs tokens, the public key verifies them.
pub struct KeyPair {
    /// PKCS #8, PEM.
    pub signing_key: String,
    /// SubjectPublicKeyInfo, PEM.
    pub public_key: String,
}

impl KeyPair {
    /// A new, random key pair.
    pub fn generate() -> Self {
        let pair = Ed25519KeyPair::generate();
        Self { signing_key: pair.to_pem(), public_key: pair.public_key().to_pem() }
    }
}

/// A key that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The setting is empty.
    #[error("{0} is not set; `inopsio dev` makes keys at its first start")]
    Missing(&'static str),
    /// It is not an Ed25519 key in PEM.
    #[error("{0} is not an Ed25519 key in PEM")]
    Unreadable(&'static str),
    /// The token could not be signed.
    #[error("the token could not be signed: {0}")]
    Signing(String),
}

/// Mints a token for `subject` of `tenant` that is valid for `ttl` from now, with these roles: built-in ones, or the tenant's own.
pub fn mint<R: Display>(
    auth: &Auth,
    tenant: TenantId,
    subject: &str,
    roles: &[R],
    ttl: Duration,
) -> Result<String, KeyError> {
    const KEY: &str = "auth.signing_key (INOPSIO_AUTH_SIGNING_KEY)";
    if auth.signing_key.is_empty() {
        return Err(KeyError::Missing(KEY));
    }
    let pair = Ed25519KeyPair::from_pem(auth.signing_key.reveal()).map_err(|_| KeyError::Unreadable(KEY))?;
    // The key id (`kid`), by which verifiers find the key in our key set.
    let pair = pair.clone().with_key_id(&jwk::key_id(&pair.public_key()));
    let claims = TokenClaims { tenant: tenant.uuid(), roles: roles.iter().map(R::to_string).collect() };
    let claims = Claims::with_custom_claims(claims, ttl.into())
        .with_issuer(&auth.issuer)
        .with_audience(&auth.audience)
        .with_subject(subject);
    pair.sign(claims).map_err(|error| KeyError::Signing(error.to_string()))
}
