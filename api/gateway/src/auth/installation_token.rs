//! Verifies the tokens of `inopsio token`, which are signed with the installation's key and may be for any tenant.

use std::collections::HashSet;

use auth_api::trust::refusals::{MAX_TOKEN_BYTES, explain, refused};
use chrono::{DateTime, Utc};
use config::Auth;
use jwt_simple::prelude::{Duration, Ed25519PublicKey, EdDSAPublicKeyLike, VerificationOptions};
use kernel::{Refusal, TenantId};

use super::{KeyError, TokenClaims, jwk};

/// Verifies tokens that are signed with the installation's key.
pub(super) struct InstallationVerifier {
    key: Ed25519PublicKey,
    options: VerificationOptions,
}

/// The claims of such a token.
pub(super) struct InstallationClaims {
    pub(super) tenant: TenantId,
    pub(super) subject: String,
    pub(super) roles: Vec<String>,
    pub(super) expires_at: DateTime<Utc>,
}

impl InstallationVerifier {
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

    /// Verifies a token, and returns its claims.
    #[expect(clippy::disallowed_methods, reason = "a signed token is what vouches for a tenant")]
    pub(super) fn verify(&self, token: &str) -> Result<InstallationClaims, Refusal> {
        // The algorithm is that of the key; any other in the token's header ("none", HS256 …) is refused.
        let claims =
            self.key.verify_token::<TokenClaims>(token, Some(self.options.clone())).map_err(|error| explain(&error))?;
        let Some(expires_at) = claims.expires_at.and_then(|at| DateTime::from_timestamp(at.as_secs().cast_signed(), 0))
        else {
            return Err(refused("token_without_expiry", "the token has no expiry (exp)"));
        };
        let Some(subject) = claims.subject.filter(|subject| is_subject(subject)) else {
            let detail = format!(
                "the token has no subject (sub) of 1 to {SUBJECT} characters without control characters, not all of them spaces"
            );
            return Err(refused("token_without_subject", &detail));
        };
        let TokenClaims { tenant, roles } = claims.custom;
        Ok(InstallationClaims { tenant: TenantId::vouched(tenant), subject, roles, expires_at })
    }
}

/// The longest subject, in characters. The subject is stored in every event that its bearer causes.
const SUBJECT: usize = 255;

/// Whether a text is allowed as the subject of a token.
pub fn is_subject(text: &str) -> bool {
    !text.trim().is_empty() && text.chars().count() <= SUBJECT && !text.chars().any(char::is_control)
}
