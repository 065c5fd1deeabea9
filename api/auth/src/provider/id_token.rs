//! ID tokens (OpenID Connect Core section 2): how they are issued, and read again as a hint.

use auth_aggregates::{Client, ClientId, GrantTerms, OurAlgorithm, Session, SessionId};
use auth_commands::protocol;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use face::Person;
use jwt_simple::prelude::VerificationOptions;
use kernel::UserId;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256, Sha512};
use std::collections::HashSet;

use super::{OAuthError, Provider, Visit};
use crate::authority::{Header, claims_at};

/// The lifetime of an ID token.
const LIFETIME: TimeDelta = TimeDelta::minutes(10);

/// The `typ` header of ID tokens.
const TYPE: &str = "JWT";

/// The claims of an ID token that a client sends back as `id_token_hint`.
pub(super) struct Hint {
    pub(super) client: ClientId,
    pub(super) subject: UserId,
    pub(super) session: Option<SessionId>,
}

/// How and when a user authenticated.
pub(super) struct SignedIn {
    pub(super) methods: Vec<String>,
    pub(super) acr: &'static str,
    pub(super) auth_time: i64,
}

impl Provider {
    /// How and when the user authenticated in the session of a grant. The methods are all of those used in the session so far; the time is
    /// that of the grant, so that refreshing does not make it later (OpenID Connect Core section 12.2).
    pub(super) async fn signed_in(&self, visit: &Visit, terms: &GrantTerms) -> Result<Option<SignedIn>, OAuthError> {
        let Some(session) = terms.session else { return Ok(None) };
        let caller = protocol(visit.tenant.id, "auth");
        let found = self.authority.executor().load::<Session>(&caller, &session.to_string()).await?;
        Ok(found.map(|(session, _)| SignedIn {
            methods: session.methods.clone(),
            acr: acr(&session.methods),
            auth_time: terms.shown_at.or(session.confirmed_at).map_or(0, |at| at.timestamp()),
        }))
    }

    /// An ID token for the client of a grant, with the claims about a person that a scope includes. `nonce`: that of the authorization
    /// request.
    pub(super) async fn id_token(
        &self,
        visit: &Visit,
        terms: &GrantTerms,
        (person, scope): (&Person, &[String]),
        access_token: &str,
        nonce: Option<String>,
    ) -> Result<String, OAuthError> {
        let scope: Vec<&str> = scope.iter().map(String::as_str).collect();
        let mut said: Map<String, Value> = self.claims_of(visit, person, &scope);
        said.remove("sub");
        let caller = protocol(visit.tenant.id, "auth");
        let client = self.authority.executor().load::<Client>(&caller, &terms.client.to_string()).await?;
        let algorithm = client.map(|(client, _)| client.details.id_token_signed_response_alg).unwrap_or_default();
        // `at_hash` ties the two tokens together: half of the access token's hash, by the hash function of the signature algorithm.
        let half = match algorithm {
            OurAlgorithm::EdDSA => half(&Sha512::digest(access_token)),
            OurAlgorithm::ES256 | OurAlgorithm::RS256 => half(&Sha256::digest(access_token)),
        };
        said.insert("at_hash".to_owned(), half.into());
        if let Some(session) = terms.session {
            said.insert("sid".to_owned(), session.to_string().into());
        }
        if let Some(signed_in) = self.signed_in(visit, terms).await? {
            said.insert("auth_time".to_owned(), signed_in.auth_time.into());
            said.insert("acr".to_owned(), signed_in.acr.into());
            said.insert("amr".to_owned(), signed_in.methods.into());
        }
        if let Some(nonce) = nonce {
            said.insert("nonce".to_owned(), nonce.into());
        }
        let now = self.authority.now();
        let claims = claims_at(said, now, now + LIFETIME)
            .with_issuer(&visit.issuer)
            .with_subject(person.id)
            .with_audience(terms.client);
        Ok(self.authority.sign(&visit.tenant, algorithm.into(), claims, TYPE).await?)
    }

    /// Verifies an `id_token_hint`, which may have expired. None: its key is unknown or retired. Then the request is handled as if it had
    /// no hint, so that an old one does not keep anybody from signing out.
    pub(super) async fn id_token_hint(&self, visit: &Visit, token: &str) -> Result<Option<Hint>, OAuthError> {
        #[derive(Serialize, Deserialize)]
        struct HintClaims {
            sid: Option<SessionId>,
        }
        let refused = || OAuthError::invalid_request("id_token_hint is not an ID token of this issuer");
        let (header, _) =
            Header::read(token).filter(|(header, _)| header.typ.as_deref() == Some(TYPE)).ok_or_else(refused)?;
        let kid = header.kid.ok_or_else(refused)?;
        let Some(ring) = self.authority.verifying_key(visit.tenant.id, &kid).await? else { return Ok(None) };
        let Some(key) = ring.find(&kid) else { return Ok(None) };
        let options = VerificationOptions {
            allowed_issuers: Some(HashSet::from([visit.issuer.clone()])),
            time_tolerance: Some(jwt_simple::prelude::Duration::from_days(365)),
            ..VerificationOptions::default()
        };
        let claims = key.public.verify::<HintClaims>(token, options).map_err(|_| refused())?;
        let client = claims.audiences.and_then(|audiences| audiences.into_string().ok());
        let client = client.and_then(|client| client.parse().ok()).ok_or_else(refused)?;
        let subject = claims.subject.and_then(|subject| subject.parse().ok()).ok_or_else(refused)?;
        Ok(Some(Hint { client, subject, session: claims.custom.sid }))
    }
}

/// The left half of a hash, base64url.
fn half(hash: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(hash.get(..hash.len() / 2).unwrap_or_default())
}

/// The authentication level of a set of methods (NIST SP 800-63B): AAL1 for one factor, AAL2 for two. A passkey counts as two: the device,
/// and the finger, face or PIN that it asks for each time.
pub(super) fn acr(methods: &[String]) -> &'static str {
    let second = methods.iter().any(|method| ["otp", "hwk", "swk"].contains(&method.as_str()));
    if second { "aal2" } else { "aal1" }
}
