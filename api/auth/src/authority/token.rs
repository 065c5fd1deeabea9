//! Access tokens (RFC 9068): their claims, and how they are signed and read.

use std::collections::HashSet;

use auth_aggregates::{Algorithm, GrantId, GrantTerms};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use jwt_simple::prelude::{Claims, Duration, JWTClaims};
use kernel::Refusal;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Authority, KnownTenant};

/// The `typ` header of access tokens.
pub const TYPE: &str = "at+jwt";

/// The claims of our access tokens besides the registered ones.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AccessClaims {
    /// The tenant in which the caller acts.
    pub tenant: Uuid,
    /// The caller's roles in the tenant, by name.
    pub roles: Vec<String>,
    /// The granted scope, space-separated.
    pub scope: String,
    /// The client that requested the token.
    pub client_id: String,
    /// The grant of the token: revoking the grant revokes the token.
    pub grant: GrantId,
    /// The session in which the user consented.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sid: Option<String>,
    /// The authentication level (`acr`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acr: Option<String>,
    /// The authentication methods (RFC 8176).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub amr: Vec<String>,
    /// When the user authenticated, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_time: Option<i64>,
    /// Who acts for the subject (RFC 8693 section 4.1); absent: the subject, through the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub act: Option<Actor>,
}

/// The acting party, and the chain of parties that acted before it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// A client, user or machine.
    pub sub: String,
    /// The previous acting party.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub act: Option<Box<Actor>>,
}

impl Actor {
    /// The length of the chain.
    pub fn chain(&self) -> usize {
        1 + self.act.as_ref().map_or(0, |before| before.chain())
    }
}

/// A signed access token.
pub struct AccessToken {
    /// The token.
    pub text: String,
    /// Its lifetime, in seconds.
    pub expires_in: i64,
}

/// The header of a token, not yet verified.
#[derive(Clone, Debug, Deserialize)]
pub struct Header {
    /// The id of the key that claims to have signed it.
    pub kid: Option<String>,
    /// The claimed type.
    pub typ: Option<String>,
}

/// The claims of a token that say where it is from, not yet verified.
#[derive(Clone, Debug, Deserialize)]
pub struct Origin {
    /// The claimed issuer.
    pub iss: Option<String>,
    /// The claimed tenant.
    #[serde(default)]
    pub tenant: Option<Uuid>,
    /// The claimed subject.
    pub sub: Option<String>,
}

impl Header {
    /// Decodes the header and origin of a token; none: it is malformed.
    pub fn read(token: &str) -> Option<(Self, Origin)> {
        let (header, rest) = token.split_once('.')?;
        let (claims, _) = rest.split_once('.')?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
        Some((serde_json::from_slice(&decode(header)?).ok()?, serde_json::from_slice(&decode(claims)?).ok()?))
    }

    /// Whether its type is that of an access token (RFC 9068 section 2.1).
    pub fn is_access_token(&self) -> bool {
        self.typ.as_deref().is_some_and(|typ| {
            let typ = typ.to_ascii_lowercase();
            typ.strip_prefix("application/").unwrap_or(&typ) == TYPE
        })
    }
}

impl Authority {
    /// Signs an access token of a grant, for the default audience of its scope.
    ///
    /// # Errors
    /// When this process can't sign.
    pub async fn access_token(
        &self,
        tenant: &KnownTenant,
        terms: &GrantTerms,
        claims: AccessClaims,
        lifetime: TimeDelta,
    ) -> Result<AccessToken, Refusal> {
        self.access_token_for(tenant, terms, claims, lifetime, None).await
    }

    /// Signs an access token for other audiences. `audiences`: none: those of the scope.
    ///
    /// # Errors
    /// When this process can't sign.
    pub async fn access_token_for(
        &self,
        tenant: &KnownTenant,
        terms: &GrantTerms,
        claims: AccessClaims,
        lifetime: TimeDelta,
        audiences: Option<HashSet<String>>,
    ) -> Result<AccessToken, Refusal> {
        let now = self.now();
        // In whole seconds, as in tokens; a token does not outlive its grant.
        let expires_in = lifetime.min(terms.expires_at - now).num_seconds().max(0);
        let subject = terms.subject.to_string();
        let issuer = self.issuer(&tenant.slug);
        let audiences = audiences.unwrap_or_else(|| {
            let api = claims.scope.split(' ').any(reaches_api).then(|| self.settings().audience.clone());
            std::iter::once(issuer.clone()).chain(api).collect()
        });
        let mut claims = claims_at(claims, now, now + TimeDelta::seconds(expires_in))
            .with_issuer(issuer)
            .with_subject(subject)
            .with_audiences(audiences);
        claims.jwt_id = Some(self.executor().new_id::<Uuid>().to_string());
        let text = self.sign(tenant, Algorithm::EdDSA, claims, TYPE).await?;
        Ok(AccessToken { text, expires_in })
    }

    /// Signs a token. `typ`: the type in its header.
    ///
    /// # Errors
    /// When this process can't sign.
    pub async fn sign<C: Serialize>(
        &self,
        tenant: &KnownTenant,
        algorithm: Algorithm,
        claims: JWTClaims<C>,
        typ: &str,
    ) -> Result<String, Refusal> {
        let ring = self.ring_with(tenant.id, algorithm).await?;
        let key = self.tenant_key(tenant.id, &ring).await?;
        let secret = ring.signer(tenant.id, algorithm, self.now(), &key)?;
        self.rotate_if_due(tenant.id, &ring, algorithm);
        secret.sign(claims, typ).map_err(|error| {
            tracing::error!(%error, "a token could not be signed");
            Refusal::internal("key_unusable", "a token could not be signed; see the server's log for the reason")
        })
    }
}

/// The most characters of a permission in a scope.
const PERMISSION: usize = 100;

/// Whether a scope gives access to the API: to everything that the subject may do (`api`), or to some permissions (`crm:lead:read`,
/// `crm:lead:*`, `crm:*`).
pub fn reaches_api(scope: &str) -> bool {
    let is_word = |word: &str| {
        !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    };
    let mut words: Vec<_> = scope.split(':').collect();
    let last = words.pop().unwrap_or_default();
    let permission = (1..=2).contains(&words.len()) && words.iter().all(|word| is_word(word));
    scope == "api" || (scope.len() <= PERMISSION && permission && (last == "*" || is_word(last)))
}

/// Claims that are valid from one time to another, by our clock instead of the library's.
pub fn claims_at<C: Serialize + serde::de::DeserializeOwned>(
    custom: C,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> JWTClaims<C> {
    let mut claims = Claims::with_custom_claims(custom, Duration::from_secs(0));
    (claims.issued_at, claims.invalid_before) = (Some(seconds(from)), None);
    claims.expires_at = Some(seconds(to));
    claims
}

/// A time as a `NumericDate` (RFC 7519 section 2).
pub fn seconds(time: DateTime<Utc>) -> Duration {
    Duration::from_secs(time.timestamp().max(0).unsigned_abs())
}
