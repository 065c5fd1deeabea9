//! ID tokens: what a client learns about who signed in (OpenID Connect Core section 2).

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

/// How long an ID token is good for.
const LIFETIME: TimeDelta = TimeDelta::minutes(10);

/// The type that an ID token says it has.
const TYPE: &str = "JWT";

/// What an ID token that a client brings back says.
pub(super) struct Hint {
    pub(super) client: ClientId,
    pub(super) subject: UserId,
    pub(super) session: Option<SessionId>,
}

/// How somebody signed in.
pub(super) struct SignedIn {
    pub(super) methods: Vec<String>,
    pub(super) acr: &'static str,
    pub(super) auth_time: i64,
}

impl Provider {
    /// How somebody signed in, in the session of a grant: by all that they showed in it so far; when, as of the grant, so that no refresh makes
    /// it younger (OpenID Connect Core section 12.2).
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

    /// An ID token for the client of a grant, about a person as far as a scope tells of them. `nonce`: what the client wants to find in it.
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
        // Half of a hash ties the two tokens together: the hash is that of the algorithm.
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

    /// What an ID token of ours says that a client brings back; it may have expired since. None: its key is none of ours, or was retired, and
    /// it is as if nothing was brought, so that nobody is kept from signing out by that.
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

/// How sure it is who signed in: by one factor, or by two (NIST SP 800-63B calls them AAL1 and AAL2). A passkey is two by itself: the
/// device, and the finger, face or PIN for which it asks each time.
pub(super) fn acr(methods: &[String]) -> &'static str {
    let second = methods.iter().any(|method| ["otp", "hwk", "swk"].contains(&method.as_str()));
    if second { "aal2" } else { "aal1" }
}
