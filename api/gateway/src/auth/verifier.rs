//! Verifying tokens, each once: a verified token is known by its hash until it expires.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use jwt_simple::JWTError;
use jwt_simple::prelude::{Duration, Ed25519PublicKey, EdDSAPublicKeyLike, VerificationOptions};
use kernel::{Caller, Clock, Grant, Refusal, TenantId};
use quick_cache::sync::Cache;
use sha2::{Digest, Sha256};

use super::{KeyError, TokenClaims, jwk};
use crate::config::Auth;
use crate::suspension::Suspended;

/// How many verified tokens are remembered.
const REMEMBERED: usize = 10_000;

/// Longer tokens are not ours.
const MAX_TOKEN_BYTES: usize = 4_096;

/// Verifies tokens.
pub struct Verifier {
    key: Ed25519PublicKey,
    options: VerificationOptions,
    grants: Vec<Grant>,
    clock: Arc<dyn Clock>,
    leeway: chrono::Duration,
    verified: Cache<[u8; 32], Verified>,
    suspended: Suspended,
    hashing: RandomState,
}

/// A verified token.
#[derive(Clone, Debug)]
pub struct Verified {
    /// Whose it is.
    pub caller: Caller,
    /// Which token it was, in this process: for the limit of requests with one token.
    pub token: u64,
    expires_at: DateTime<Utc>,
}

impl Verifier {
    /// A verifier of this configuration; `grants` is the whole permission table.
    pub fn new(auth: &Auth, grants: Vec<Grant>, clock: Arc<dyn Clock>, suspended: Suspended) -> Result<Self, KeyError> {
        const KEY: &str = "auth.public_key (INOPSIO_AUTH_PUBLIC_KEY)";
        if auth.public_key.is_empty() {
            return Err(KeyError::Missing(KEY));
        }
        let key = Ed25519PublicKey::from_pem(auth.public_key.reveal()).map_err(|_| KeyError::Unreadable(KEY))?;
        let options = VerificationOptions {
            allowed_issuers: Some(HashSet::from([auth.issuer.clone()])),
            allowed_audiences: Some(HashSet::from([auth.audience.clone()])),
            time_tolerance: Some(Duration::from_secs(auth.leeway_seconds)),
            max_token_length: Some(MAX_TOKEN_BYTES),
            ..VerificationOptions::default()
        };
        Ok(Self {
            key,
            options,
            grants,
            clock,
            leeway: chrono::Duration::seconds(auth.leeway_seconds.cast_signed()),
            verified: Cache::new(REMEMBERED),
            suspended,
            hashing: RandomState::new(),
        })
    }

    /// Our public key as a set of JSON Web Keys.
    pub fn key_set(&self) -> serde_json::Value {
        jwk::key_set(&self.key)
    }

    /// The caller that an `Authorization` header names.
    pub fn verify_header(&self, header: &[u8]) -> Result<Verified, Refusal> {
        let token = std::str::from_utf8(header)
            .ok()
            .and_then(|text| text.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim());
        match token {
            Some(token) if !token.is_empty() => self.verify(token),
            _ => Err(refused("token_malformed", "the header Authorization is not of the form: Bearer <token>")),
        }
    }

    /// The caller that a token names.
    pub fn verify(&self, token: &str) -> Result<Verified, Refusal> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(refused("token_malformed", "the token is too long to be one of ours"));
        }
        // A cryptographic hash: what is found under it must be the very token that was verified.
        let hash: [u8; 32] = Sha256::digest(token).into();
        if let Some(verified) = self.verified.get(&hash) {
            if verified.expires_at + self.leeway > self.clock.now() {
                self.suspended.check(verified.caller.tenant())?;
                return Ok(verified);
            }
            self.verified.remove(&hash);
            return Err(expired());
        }
        let verified = self.check(token, self.hashing.hash_one(hash))?;
        self.verified.insert(hash, verified.clone());
        self.suspended.check(verified.caller.tenant())?;
        Ok(verified)
    }

    /// How long a verified token stays valid.
    pub fn valid_for(&self, verified: &Verified) -> std::time::Duration {
        (verified.expires_at + self.leeway - self.clock.now()).to_std().unwrap_or_default()
    }

    #[expect(clippy::disallowed_methods, reason = "a signed token is what vouches for a tenant")]
    fn check(&self, token: &str, id: u64) -> Result<Verified, Refusal> {
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
        let caller = Caller::new(TenantId::vouched(claims.custom.tenant), subject, &claims.custom.roles, &self.grants);
        Ok(Verified { caller, token: id, expires_at })
    }
}

fn refused(code: &'static str, detail: &str) -> Refusal {
    Refusal::unauthenticated(code, detail)
}

fn expired() -> Refusal {
    refused("token_expired", "the token has expired; ask for a new one")
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
