//! Verifies tokens, with a cache: a verified token is found by its hash until it expires or something that its validity depends on
//! changes.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use auth_api::trust::refusals::{MAX_TOKEN_BYTES, expired, refused, too_long};
use auth_api::trust::{ChangedIds, MAX_CACHE_AGE, Trust, Trusted};
use chrono::{DateTime, TimeDelta, Utc};
use config::Auth;
use face::ActiveTenants as _;
use kernel::{Caller, Clock, Refusal};
use quick_cache::sync::Cache;
use sha2::{Digest, Sha256};
use user_api::permission_resolver::PermissionResolver;
use uuid::Uuid;

use super::KeyError;
use super::installation_token::{InstallationClaims, InstallationVerifier};
use super::suspension::Suspended;

/// How many verified tokens are cached.
const CACHE_CAPACITY: usize = 10_000;

/// How long a connection may stay open with a token that does not expire.
const MAX_CONNECTION: Duration = Duration::from_hours(24);

/// Verifies tokens.
pub struct Verifier {
    /// Verifies tokens of `inopsio token`; none: no public key is configured.
    installation: Option<InstallationVerifier>,
    /// Verifies tokens of the tenants' issuers, and API keys.
    trust: Trust,
    pub(super) changed_ids: Arc<ChangedIds>,
    /// The permissions of bearers.
    permission_resolver: PermissionResolver,
    clock: Arc<dyn Clock>,
    leeway: TimeDelta,
    verified: Cache<[u8; 32], Verified>,
    pub(super) suspended: Suspended,
    hashing: RandomState,
}

/// A verified token.
#[derive(Clone, Debug)]
pub struct Verified {
    /// The caller.
    pub caller: Caller,
    /// Identifies the token within this process, for the rate limit per token.
    pub token: u64,
    /// When it expires; none: it is valid until it is revoked.
    expires_at: Option<DateTime<Utc>>,
    /// When it must be checked again at the latest; none: not before it expires.
    checked_until: Option<Instant>,
    /// The number of changes ([`ChangedIds::count`]) when it was checked.
    checked_at: u64,
    /// The ids of what its validity depends on, such as its grant, session and user.
    depends_on: Arc<[Uuid]>,
}

impl Verifier {
    /// A verifier of this configuration.
    pub fn new(
        auth: &Auth,
        trust: Trust,
        changed_ids: Arc<ChangedIds>,
        permission_resolver: PermissionResolver,
        clock: Arc<dyn Clock>,
        suspended: Suspended,
    ) -> Result<Self, KeyError> {
        let installation = if auth.public_key.is_empty() { None } else { Some(InstallationVerifier::new(auth)?) };
        Ok(Self {
            installation,
            trust,
            changed_ids,
            permission_resolver,
            clock,
            leeway: TimeDelta::seconds(auth.leeway_seconds.cast_signed()),
            verified: Cache::new(CACHE_CAPACITY),
            suspended,
            hashing: RandomState::new(),
        })
    }

    /// The public key of `inopsio token` as a set of JSON Web Keys; the tenants' issuers have their own.
    pub fn key_set(&self) -> serde_json::Value {
        self.installation.as_ref().map_or_else(|| serde_json::json!({ "keys": [] }), InstallationVerifier::key_set)
    }

    /// Verifies the token of an `Authorization` header.
    ///
    /// # Errors
    /// As [`verify`](Self::verify), and when the header is malformed.
    pub async fn verify_header(&self, header: &[u8]) -> Result<Verified, Refusal> {
        let token = std::str::from_utf8(header)
            .ok()
            .and_then(|text| text.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim());
        match token {
            Some(token) if !token.is_empty() => self.verify(token).await,
            _ => Err(refused("token_malformed", "the header Authorization is not of the form: Bearer <token>")),
        }
    }

    /// Verifies a token.
    ///
    /// # Errors
    /// When the token is not valid, its tenant is refused here, or what it depends on can't be read.
    pub async fn verify(&self, token: &str) -> Result<Verified, Refusal> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(too_long());
        }
        // A cryptographic hash, so that only the very token that was verified is found under it.
        let hash: [u8; 32] = Sha256::digest(token).into();
        if let Some(verified) = self.verified.get(&hash) {
            if verified.expires_at.is_some_and(|end| end + self.leeway <= self.clock.now()) {
                self.verified.remove(&hash);
                return Err(expired());
            }
            if verified.checked_until.is_none_or(|until| Instant::now() < until) && self.holds(&verified) {
                self.suspended.check(verified.caller.tenant())?;
                return Ok(verified);
            }
        }
        match self.check(token, self.hashing.hash_one(hash)).await {
            Ok(verified) => {
                self.verified.insert(hash, verified.clone());
                self.suspended.check(verified.caller.tenant())?;
                Ok(verified)
            }
            Err(refusal) => {
                self.verified.remove(&hash);
                Err(refusal)
            }
        }
    }

    /// Whether nothing that a verified token depends on has changed since it was checked.
    pub(super) fn holds(&self, verified: &Verified) -> bool {
        !self.changed_ids.changed_since(verified.checked_at, &verified.depends_on)
    }

    /// How long a verified token stays valid.
    pub fn valid_for(&self, verified: &Verified) -> Duration {
        verified
            .expires_at
            .map_or(MAX_CONNECTION, |end| (end + self.leeway - self.clock.now()).to_std().unwrap_or_default())
    }

    async fn check(&self, token: &str, id: u64) -> Result<Verified, Refusal> {
        // Read before the checks, so that a change during them counts as later.
        let checked_at = self.changed_ids.count();
        let checked_until = Some(Instant::now() + MAX_CACHE_AGE);
        if let Some(installation) = self.installation.as_ref().filter(|_| !self.trust.concerns(token)) {
            let InstallationClaims { tenant, subject, roles, expires_at } = installation.verify(token)?;
            // The token contains the roles; without any, its subject is a user, with that user's roles.
            let effective = match roles.as_slice() {
                [] => self.permission_resolver.of(tenant, &subject, &[]).await?,
                roles => self.permission_resolver.with_roles(tenant, roles).await?,
            };
            let depends_on: Arc<[Uuid]> = effective.depends_on.into();
            // A token that depends on nothing needs no further check.
            let checked_until = checked_until.filter(|_| !depends_on.is_empty());
            return Ok(Verified {
                caller: Caller::holding(tenant, subject, effective.permissions),
                token: id,
                expires_at: Some(expires_at),
                checked_until,
                checked_at,
                depends_on,
            });
        }
        let trusted = self.trust.check(token).await?;
        let Trusted { tenant, subject, roles, scopes, expires_at, authenticated_at, mut depends_on } = trusted;
        let effective = self.permission_resolver.of(tenant, &subject, &roles).await?;
        depends_on.extend(effective.depends_on);
        let caller = Caller::holding(tenant, subject, effective.permissions);
        let caller = caller.limited_to(scopes.as_deref()).with_authenticated_at(authenticated_at);
        Ok(Verified { caller, token: id, expires_at, checked_until, checked_at, depends_on: depends_on.into() })
    }
}
