//! The verification of bearer tokens and API keys against the log.

use std::collections::HashSet;
use std::sync::Arc;

use auth_aggregates::{Account, ApiKey, ApiKeyRefusal, Client, Grant, GrantKind, GrantTerms, Machine, Session};
use auth_commands::{NoteApiKeyUse, NoteRefusedApiKey, protocol};
use chrono::{DateTime, Utc};
use jwt_simple::prelude::{Duration, JWTClaims, VerificationOptions};
use kernel::{Refusal, TenantId};
use uuid::Uuid;

use super::refusals::{MAX_TOKEN_BYTES, expired, explain, invalid, refused, too_long};
use super::refused_tokens::RefusedTokens;
use crate::authority::{AccessClaims, ApiKeyText, Authority, Header, KnownTenant, TYPE, seconds};

/// Verifies bearer tokens. Cheap to clone.
#[derive(Clone)]
pub struct Trust {
    authority: Authority,
    refused_tokens: Arc<RefusedTokens>,
}

/// A token with an issuer of ours, not yet verified.
struct Claimed {
    header: Header,
    issuer: String,
    tenant: KnownTenant,
}

/// What a valid token says about its bearer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trusted {
    /// The tenant in which the bearer acts.
    pub tenant: TenantId,
    /// The user or machine.
    pub subject: String,
    /// Its roles in the tenant, by name: a machine's present roles, a user's as the token says.
    pub roles: Vec<String>,
    /// The permissions to which the token is limited (an empty list: to nothing); `None`: no limit.
    pub scopes: Option<Vec<String>>,
    /// When it expires; none: never, but it can be revoked.
    pub expires_at: Option<DateTime<Utc>>,
    /// When the user authenticated; none: no user did.
    pub authenticated_at: Option<DateTime<Utc>>,
    /// The ids of the aggregates that its validity depends on.
    pub depends_on: Vec<Uuid>,
}

impl Trust {
    /// Verifies with the keys and the log of `authority`.
    pub fn new(authority: Authority) -> Self {
        Self { authority, refused_tokens: Arc::default() }
    }

    /// Whether a token is to be verified here: an API key, or a token of a tenant's issuer.
    pub fn concerns(&self, token: &str) -> bool {
        ApiKeyText::is_one(token)
            || Header::read(token)
                .and_then(|(_, origin)| origin.iss)
                .is_some_and(|issuer| issuer.starts_with(&format!("{}/t/", self.authority.settings().public_url)))
    }

    /// Verifies a token and everything that its validity depends on.
    ///
    /// # Errors
    /// `token_…` when it is not valid; else that it can't be determined now.
    pub async fn check(&self, token: &str) -> Result<Trusted, Refusal> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(too_long());
        }
        if ApiKeyText::is_one(token) {
            return self.api_key(token).await;
        }
        let claimed = self.claimed(token).await?;
        let tenant = claimed.tenant.clone();
        match self.verify_claimed(token, claimed, &self.authority.settings().audience).await {
            Ok((_, claims)) => self.check_grants(tenant.id, &claims).await,
            Err(refusal) => {
                // If the tenant is suspended or deleted, strangers can't make us write to its log.
                if self.authority.admits(&tenant).is_ok() {
                    self.refused_tokens.note(&self.authority, tenant.id, &refusal);
                }
                Err(refusal)
            }
        }
    }

    /// The claims of an access token of one of our issuers for `audience`. Only the token itself is verified, not its grant.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub async fn verify_token(
        &self,
        token: &str,
        audience: &str,
    ) -> Result<(KnownTenant, JWTClaims<AccessClaims>), Refusal> {
        let claimed = self.claimed(token).await?;
        self.verify_claimed(token, claimed, audience).await
    }

    async fn claimed(&self, token: &str) -> Result<Claimed, Refusal> {
        let (header, origin) = Header::read(token).ok_or_else(invalid)?;
        let issuer = origin.iss.unwrap_or_default();
        let tenant = self.authority.tenant_of_issuer(&issuer).await?;
        let tenant = tenant.ok_or_else(|| refused("token_issuer", "the token is from another issuer than we trust"))?;
        Ok(Claimed { header, issuer, tenant })
    }

    async fn verify_claimed(
        &self,
        token: &str,
        Claimed { header, issuer, tenant }: Claimed,
        audience: &str,
    ) -> Result<(KnownTenant, JWTClaims<AccessClaims>), Refusal> {
        if !header.is_access_token() {
            return Err(refused("token_type", "this is not an access token: the type in its header is not at+jwt"));
        }
        let kid = header.kid.unwrap_or_default();
        // Only keys of the tenant in the issuer are accepted.
        let ring = self.authority.verifying_key(tenant.id, &kid).await?.ok_or_else(invalid)?;
        let key = ring.find(&kid).ok_or_else(invalid)?;
        let settings = self.authority.settings();
        let options = VerificationOptions {
            allowed_issuers: Some(HashSet::from([issuer])),
            allowed_audiences: Some(HashSet::from([audience.to_owned()])),
            time_tolerance: Some(Duration::from_secs(settings.leeway.num_seconds().unsigned_abs())),
            max_token_length: Some(MAX_TOKEN_BYTES),
            required_signature_type: header.typ.clone().or_else(|| Some(TYPE.to_owned())),
            artificial_time: Some(seconds(self.authority.now())),
            ..VerificationOptions::default()
        };
        let claims = key.public.verify::<AccessClaims>(token, options).map_err(|error| explain(&error))?;
        if claims.custom.tenant != tenant.id.uuid() {
            return Err(refused("token_tenant", "the token's tenant is not the one of its issuer"));
        }
        Ok((tenant, claims))
    }

    /// Whether everything that a verified token depends on is still valid.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub async fn check_grants(&self, tenant: TenantId, claims: &JWTClaims<AccessClaims>) -> Result<Trusted, Refusal> {
        let expires_at = claims
            .expires_at
            .and_then(time)
            .ok_or_else(|| refused("token_without_expiry", "the token has no expiry (exp)"))?;
        let issued_at = claims.issued_at.and_then(time).ok_or_else(invalid)?;
        let subject =
            claims.subject.clone().ok_or_else(|| refused("token_without_subject", "the token has no subject (sub)"))?;
        let caller = protocol(tenant, "auth");
        let executor = self.authority.executor();
        let grant = claims.custom.grant;
        let found = executor.load::<Grant>(&caller, &grant.to_string()).await?;
        let terms = found
            .as_ref()
            .filter(|(state, _)| state.is_valid(self.authority.now()))
            .and_then(|(state, _)| state.terms.as_ref())
            .filter(|terms| terms.subject.to_string() == subject);
        let Some(terms) = terms else { return Err(revoked()) };
        let mut depends_on = vec![tenant.uuid(), grant.uuid(), terms.subject];
        // A token from token exchange depends on the grants of the tokens that it was derived from, too.
        let (mut terms, mut since) = (terms.clone(), issued_at);
        let mut roles = claims.custom.roles.clone();
        loop {
            depends_on.extend(terms.session.map(auth_aggregates::SessionId::uuid));
            depends_on.push(terms.client);
            if terms.kind == GrantKind::ClientCredentials {
                let machine = executor.load::<Machine>(&caller, &subject).await?;
                let machine = machine.map(|(machine, _)| machine).filter(|machine| machine.is_token_valid(since));
                // A machine's present roles count, not those at the time of signing; the same holds for its API keys.
                roles.clone_from(&machine.ok_or_else(revoked)?.roles);
            } else if !self.is_grant_valid(tenant, &terms).await? {
                return Err(revoked());
            }
            let Some(parent) = terms.parent else { break };
            depends_on.push(parent.uuid());
            let found = executor.load::<Grant>(&caller, &parent.to_string()).await?;
            let found = found.filter(|(state, _)| state.is_valid(self.authority.now()));
            terms = found.and_then(|(state, _)| state.terms.clone()).ok_or_else(revoked)?;
            since = terms.opened_at;
        }
        let scopes: Vec<String> = claims.custom.scope.split(' ').map(str::to_owned).collect();
        let whole = scopes.iter().any(|scope| scope == "api");
        let scopes = (!whole).then(|| scopes.into_iter().filter(|scope| scope.contains(':')).collect());
        let authenticated_at = claims.custom.auth_time.and_then(|at| DateTime::from_timestamp(at, 0));
        Ok(Trusted { tenant, subject, roles, scopes, expires_at: Some(expires_at), authenticated_at, depends_on })
    }

    /// Whether a grant is still valid with regard to its client, its user's account and its session.
    ///
    /// # Errors
    /// When the log can't be read.
    pub async fn is_grant_valid(&self, tenant: TenantId, terms: &GrantTerms) -> Result<bool, Refusal> {
        let (caller, executor) = (protocol(tenant, "auth"), self.authority.executor());
        let client = executor.load::<Client>(&caller, &terms.client.to_string()).await?;
        if !client.is_some_and(|(client, _)| client.is_grant_valid(terms.opened_at)) {
            return Ok(false);
        }
        let account = executor.load::<Account>(&caller, &terms.subject.to_string()).await?;
        let account = account.map(|(account, _)| account).unwrap_or_default();
        let session = match terms.session {
            Some(session) => executor.load::<Session>(&caller, &session.to_string()).await?,
            None => None,
        };
        Ok(terms.are_valid(&account, session.as_ref().map(|(session, _)| &**session)))
    }

    async fn api_key(&self, token: &str) -> Result<Trusted, Refusal> {
        let text = ApiKeyText::read(token).ok_or_else(invalid)?;
        #[expect(clippy::disallowed_methods, reason = "what is found under it is trusted only if the secret matches")]
        let tenant = TenantId::vouched(text.tenant);
        let caller = protocol(tenant, "auth");
        let (executor, now) = (self.authority.executor(), self.authority.now());
        let found = executor.load::<ApiKey>(&caller, &text.key.to_string()).await?;
        let Some((state, issued)) = found.and_then(|(state, _)| state.issued.clone().map(|issued| (state, issued)))
        else {
            return Err(invalid());
        };
        // Ordinary comparison is enough: these are hashes of 256 random bits, so its timing does not help to find one.
        let refused = |reason, refusal| {
            if state.notes_refusal(now) {
                self.note_refused(tenant, &text, reason);
            }
            Err(refusal)
        };
        if issued.secret_hash != text.secret_hash() {
            return refused(ApiKeyRefusal::SecretWrong, invalid());
        }
        if state.revoked {
            return refused(ApiKeyRefusal::Revoked, revoked());
        }
        if !state.accepted(now) {
            return refused(ApiKeyRefusal::Expired, expired());
        }
        let machine = executor.load::<Machine>(&caller, &issued.machine.to_string()).await?;
        let Some((machine, _)) = machine.filter(|(machine, _)| machine.active) else {
            return refused(ApiKeyRefusal::MachineInactive, revoked());
        };
        if state.notes_use(now) {
            self.note_use(tenant, &text);
        }
        Ok(Trusted {
            tenant,
            subject: issued.machine.to_string(),
            roles: machine.roles.clone(),
            scopes: Some(issued.scopes).filter(|scopes| !scopes.is_empty()),
            expires_at: issued.expires_at,
            authenticated_at: None,
            depends_on: vec![text.key.uuid(), issued.machine.uuid()],
        })
    }

    /// Records the use of an API key, in the background.
    fn note_use(&self, tenant: TenantId, text: &ApiKeyText) {
        let (authority, key) = (self.authority.clone(), text.key);
        tokio::spawn(async move {
            let note = NoteApiKeyUse { key };
            if let Err(refusal) = authority.run(&protocol(tenant, "auth"), &note).await {
                tracing::debug!(%refusal, "that an API key was used could not be noted");
            }
        });
    }

    /// Records the refusal of an API key, in the background.
    fn note_refused(&self, tenant: TenantId, text: &ApiKeyText, reason: ApiKeyRefusal) {
        let (authority, key) = (self.authority.clone(), text.key);
        tokio::spawn(async move {
            // If the tenant is suspended or deleted, strangers can't make us write to its log.
            let known = authority.tenant_by_id(tenant).await.ok().flatten();
            if known.is_none_or(|known| authority.admits(&known).is_err()) {
                return;
            }
            let note = NoteRefusedApiKey { key, reason };
            if let Err(refusal) = authority.run(&protocol(tenant, "auth"), &note).await {
                tracing::debug!(%refusal, "that an API key was refused could not be noted");
            }
        });
    }
}

fn time(at: Duration) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(at.as_secs().cast_signed(), 0)
}

fn revoked() -> Refusal {
    refused(
        "token_revoked",
        "the token is no longer valid because its session, grant or key has ended; sign in again, or request a new one",
    )
}
