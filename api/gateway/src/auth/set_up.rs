//! The key of whoever sets an installation up: `inopsio token` signs with it, for any tenant.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use jwt_simple::JWTError;
use jwt_simple::prelude::{Duration, Ed25519PublicKey, EdDSAPublicKeyLike, VerificationOptions};
use kernel::{Refusal, TenantId};

use super::verifier::{MAX_TOKEN_BYTES, expired, refused};
use super::{KeyError, TokenClaims, jwk};
use crate::config::Auth;

/// Verifies tokens of that key.
pub(super) struct SetUp {
    key: Ed25519PublicKey,
    options: VerificationOptions,
}

/// What such a token says.
pub(super) struct Said {
    pub(super) tenant: TenantId,
    pub(super) subject: String,
    pub(super) roles: Vec<String>,
    pub(super) expires_at: DateTime<Utc>,
}

impl SetUp {
    pub(super) fn new(auth: &Auth) -> Result<Self, KeyError> {
        const KEY: &str = "auth.public_key (INOPSIO_AUTH_PUBLIC_KEY)";
        let key = Ed25519PublicKey::from_pem(auth.public_key.reveal()).map_err(|_| KeyError::Unreadable(KEY))?;
        let options = VerificationOptions {
            allowed_issuers: Some(HashSet::from([auth.issuer.clone()])),
            allowed_audiences: Some(HashSet::from([auth.audience.clone()])),
            time_tolerance: Some(Duration::from_secs(auth.leeway_seconds)),
            max_token_length: Some(MAX_TOKEN_BYTES),
            ..VerificationOptions::default()
        };
        Ok(Self { key, options })
    }

    /// The public key as a set of JSON Web Keys.
    pub(super) fn key_set(&self) -> serde_json::Value {
        jwk::key_set(&self.key)
    }

    /// What a token says, if it holds.
    #[expect(clippy::disallowed_methods, reason = "a signed token is what vouches for a tenant")]
    pub(super) fn verify(&self, token: &str) -> Result<Said, Refusal> {
        // The key says the algorithm; whatever else the token's header names ("none", HS256 …) is refused.
        let claims =
            self.key.verify_token::<TokenClaims>(token, Some(self.options.clone())).map_err(|error| explain(&error))?;
        let Some(expires_at) = claims.expires_at.and_then(|at| DateTime::from_timestamp(at.as_secs().cast_signed(), 0))
        else {
            return Err(refused("token_without_expiry", "the token has no expiry (exp)"));
        };
        let Some(subject) = claims.subject.filter(|subject| !subject.is_empty()) else {
            return Err(refused("token_without_subject", "the token has no subject (sub)"));
        };
        let TokenClaims { tenant, roles } = claims.custom;
        Ok(Said { tenant: TenantId::vouched(tenant), subject, roles, expires_at })
    }
}

fn explain(error: &jwt_simple::Error) -> Refusal {
    match error.downcast_ref::<JWTError>() {
        Some(JWTError::TokenHasExpired | JWTError::OldTokenReused) => expired(),
        Some(JWTError::TokenNotValidYet | JWTError::ClockDrift) => {
            refused("token_not_yet_valid", "the token is not valid yet; check the clocks")
        }
        Some(JWTError::RequiredIssuerMismatch | JWTError::RequiredIssuerMissing) => {
            refused("token_issuer", "the token is from another issuer than we trust")
        }
        Some(JWTError::RequiredAudienceMismatch | JWTError::RequiredAudienceMissing) => {
            refused("token_audience", "the token is for another audience")
        }
        // Which part of a signature is wrong is nothing to tell a stranger.
        _ => refused("token_invalid", "the token is not one that we accept"),
    }
}
