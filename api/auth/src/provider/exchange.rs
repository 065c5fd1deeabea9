//! Token exchange (RFC 8693): an authorized client exchanges an access token that it received for another one with the same or fewer
//! rights, to pass on to a service with less authority or to another application. The new token names the subject and the acting parties
//! (`act`), and it is valid only as long as the token it was derived from.

use std::collections::HashSet;

use auth_aggregates::{Client, GrantKind, GrantTerms};
use auth_commands::{OpenGrant, protocol};
use jwt_simple::prelude::JWTClaims;
use poem::http::StatusCode;
use serde_json::json;

use super::client::AuthenticatedClient;
use super::error::answer;
use super::form::Form;
use super::{Answer, OAuthError, Provider, Visit};
use crate::authority::{AccessClaims, Actor, reaches_api};
use crate::trust::Trusted;

/// The grant type.
pub(super) const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";

/// The supported token types; the first one is issued.
const TYPES: [&str; 2] = ["urn:ietf:params:oauth:token-type:access_token", "urn:ietf:params:oauth:token-type:jwt"];

/// The longest chain of nested `act` claims.
const MOST_ACTORS: usize = 4;

/// A token from the request, verified.
struct VerifiedToken {
    claims: JWTClaims<AccessClaims>,
    trusted: Trusted,
}

impl VerifiedToken {
    /// Whether the subject token's audience allows a new token for the audiences `asked` (none: the API). A token for the API may be
    /// exchanged for any audience.
    fn is_for(&self, asked: Option<&HashSet<String>>, api: &str) -> bool {
        let has = |one: &str| {
            self.claims.audiences.as_ref().is_some_and(|had| had.contains(&HashSet::from([one.to_owned()])))
        };
        has(api) || asked.is_some_and(|asked| asked.iter().all(|one| has(one)))
    }
}

/// Handles a token request with the grant type token exchange.
pub(super) async fn exchange(
    provider: &Provider,
    visit: &Visit,
    form: &Form,
    client: &AuthenticatedClient,
    application: &Client,
) -> Answer {
    if !application.details.exchanges {
        return Err(OAuthError::unauthorized_client("this client may not exchange tokens"));
    }
    if form.get("requested_token_type").is_some_and(|wanted| !TYPES.contains(&wanted)) {
        let text = format!("requested_token_type must be {}", TYPES.join(" or "));
        return Err(OAuthError::invalid_request(text));
    }
    let subject = provider.verified_token(visit, form, "subject_token").await?;
    let actor = match form.get("actor_token") {
        Some(_) => Some(provider.verified_token(visit, form, "actor_token").await?),
        None if form.get("actor_token_type").is_some() => {
            return Err(OAuthError::invalid_request("actor_token_type is given without actor_token"));
        }
        None => None,
    };
    let scope = narrowed(form, &subject.claims.custom.scope)?;
    let audiences = provider.audiences(visit, form).await?;
    if !subject.is_for(audiences.as_ref(), &provider.authority.settings().audience) {
        let text = "the new token may be for those only for whom the old one is, unless that is for the API";
        return Err(OAuthError::with_code("invalid_target", text));
    }
    let acts = Actor {
        sub: actor.map_or_else(|| client.id.to_string(), |actor| actor.trusted.subject),
        act: subject.claims.custom.act.clone().map(Box::new),
    };
    if acts.chain() > MOST_ACTORS {
        return Err(OAuthError::invalid_request(format!("at most {MOST_ACTORS} may act for one another")));
    }
    let now = provider.authority.now();
    let lifetime = provider.authority.settings().access;
    let expires_at = subject.trusted.expires_at.unwrap_or(now).min(now + lifetime);
    let person = subject.trusted.subject.parse().map_err(|_| unacceptable("subject_token"))?;
    let terms = GrantTerms {
        session: subject.claims.custom.sid.as_ref().and_then(|sid| sid.parse().ok()),
        parent: Some(subject.claims.custom.grant),
        actor: Some(acts.sub.clone()),
        ..GrantTerms::new(GrantKind::TokenExchange, (client.id, person), scope.clone(), now, expires_at)
    };
    let open = OpenGrant { terms: terms.clone() };
    let done = provider.authority.run(&protocol(visit.tenant.id, &client.id.to_string()), &open).await?;
    let claims = AccessClaims {
        roles: subject.trusted.roles,
        scope: scope.join(" "),
        client_id: client.id.to_string(),
        grant: done.answer,
        act: Some(acts),
        ..subject.claims.custom
    };
    let token = provider.authority.access_token_for(&visit.tenant, &terms, claims, lifetime, audiences).await?;
    Ok(answer(
        StatusCode::OK,
        &json!({
            "access_token": token.text,
            "issued_token_type": TYPES[0],
            "token_type": "Bearer",
            "expires_in": token.expires_in,
            "scope": scope.join(" "),
        }),
    ))
}

impl Provider {
    /// The valid access token of this tenant that a parameter contains. The error about an invalid one gives no details: it may be somebody
    /// else's token.
    async fn verified_token(
        &self,
        visit: &Visit,
        form: &Form,
        parameter: &'static str,
    ) -> Result<VerifiedToken, OAuthError> {
        let token = form.need(parameter)?;
        if !TYPES.contains(&form.need(&format!("{parameter}_type"))?) {
            return Err(OAuthError::invalid_request(format!("{parameter}_type must be {}", TYPES.join(" or "))));
        }
        // All our access tokens have the issuer itself among their audiences.
        let signed = self.trust.verify_token(token, &visit.issuer).await;
        let (tenant, claims) = signed.map_err(|refusal| token_error(refusal, parameter))?;
        if tenant.id != visit.tenant.id {
            return Err(unacceptable(parameter));
        }
        let trusted =
            self.trust.check_grants(tenant.id, &claims).await.map_err(|refusal| token_error(refusal, parameter))?;
        Ok(VerifiedToken { claims, trusted })
    }

    /// The audience of the new token: the API, or another application of the tenant. None: the default, which is the API.
    async fn audiences(&self, visit: &Visit, form: &Form) -> Result<Option<HashSet<String>>, OAuthError> {
        let target =
            || OAuthError::with_code("invalid_target", "audience must be that of the API, or the id of an application");
        if form.get("resource").is_some() {
            return Err(target());
        }
        let Some(audience) = form.get("audience").filter(|audience| *audience != self.authority.settings().audience)
        else {
            return Ok(None);
        };
        let id: auth_aggregates::ClientId = audience.parse().map_err(|_| target())?;
        let caller = protocol(visit.tenant.id, "auth");
        let found = self.authority.executor().load::<Client>(&caller, &id.to_string()).await?;
        if !found.is_some_and(|(client, _)| client.active) {
            return Err(target());
        }
        Ok(Some(HashSet::from([visit.issuer.clone(), id.to_string()])))
    }
}

/// The scope of the new token: the requested part of the old token's API scope, or all of it if none is requested. The scopes
/// `offline_access` and those about the user's identity are never passed on.
fn narrowed(form: &Form, had: &str) -> Result<Vec<String>, OAuthError> {
    let had: Vec<&str> = had.split(' ').filter(|word| reaches_api(word)).collect();
    let mut asked = form.words("scope");
    if asked.is_empty() {
        asked = had.iter().map(|word| (*word).to_owned()).collect();
    }
    asked.sort_unstable();
    asked.dedup();
    if asked.is_empty() || asked.len() > 50 {
        return Err(OAuthError::invalid_scope("there is nothing that the new token could be for, or too much"));
    }
    match asked.iter().find(|word| !had.iter().any(|had| covers(had, word))) {
        Some(_) => Err(OAuthError::invalid_scope("the scope exceeds that of the token")),
        None => Ok(asked),
    }
}

/// Whether one scope includes another one.
fn covers(had: &str, asked: &str) -> bool {
    had == asked
        || (had == "api" && reaches_api(asked))
        || had.strip_suffix('*').is_some_and(|begin| begin.ends_with(':') && asked.starts_with(begin))
}

/// An invalid token is a fault of the request (RFC 8693 section 2.2.2); a failure to check it is not.
fn token_error(refusal: kernel::Refusal, parameter: &'static str) -> OAuthError {
    if refusal.kind() == kernel::Kind::Unauthenticated { unacceptable(parameter) } else { refusal.into() }
}

fn unacceptable(parameter: &'static str) -> OAuthError {
    OAuthError::invalid_request(format!("{parameter} is not a valid access token of this issuer"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_has_what_it_names_and_nothing_that_begins_alike() {
        for (had, asked) in
            [("api", "crm:lead:read"), ("api", "crm:*"), ("crm:*", "crm:lead:read"), ("crm:lead:*", "crm:lead:read")]
        {
            assert!(covers(had, asked), "{had} {asked}");
        }
        for (had, asked) in [
            ("crm:lead:read", "crm:lead:write"),
            ("crm:lead:*", "crm:*"),
            ("crm:*", "crmx:lead:read"),
            ("crm:lead:read", "api"),
            ("crm:*", "api"),
            ("*", "crm:lead:read"),
            ("api", "offline_access"),
        ] {
            assert!(!covers(had, asked), "{had} {asked}");
        }
    }
}
