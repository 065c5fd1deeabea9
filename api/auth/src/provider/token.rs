//! The token endpoint.

use auth_aggregates::{GrantKind, GrantTerms};
use auth_commands::{OpenGrant, protocol};
use poem::http::StatusCode;
use serde_json::json;

use super::client::{self, Known};
use super::error::answer;
use super::form::Form;
use super::{Answer, OAuthError, Provider, Visit};
use crate::authority::{AccessClaims, reaches_api};

/// Tokens for a grant.
pub async fn token(provider: &Provider, mut visit: Visit) -> Answer {
    let form = Form::read(&visit.form_text().await?)?;
    let client = client::authenticate(provider, &visit, &form).await?;
    match form.need("grant_type")? {
        "client_credentials" => client_credentials(provider, &visit, &form, &client).await,
        other => Err(OAuthError::unsupported_grant_type(format!(
            "there is no grant type {other}; allowed is client_credentials"
        ))),
    }
}

/// A machine acts for itself (RFC 6749 section 4.4).
async fn client_credentials(provider: &Provider, visit: &Visit, form: &Form, client: &Known) -> Answer {
    let scope = scope(form)?;
    let (lifetime, now) = (provider.authority.settings().access, provider.authority.now());
    let terms = GrantTerms {
        client: client.id,
        subject: client.id,
        kind: GrantKind::ClientCredentials,
        scope: scope.clone(),
        session: None,
        code: None,
        opened_at: now,
        expires_at: now + lifetime,
    };
    let open = OpenGrant { terms: terms.clone(), assertion: client.assertion.clone() };
    let caller = protocol(visit.tenant.id, &client.id.to_string());
    let done = provider.authority.run(&caller, &open).await?;
    let claims = AccessClaims {
        tenant: visit.tenant.id.uuid(),
        roles: client.machine.roles.clone(),
        scope: scope.join(" "),
        client_id: client.id.to_string(),
        grant: done.answer,
        sid: None,
        acr: None,
        amr: Vec::new(),
        auth_time: None,
    };
    let token = provider.authority.access_token(&visit.tenant, &terms, claims, lifetime).await?;
    Ok(answer(
        StatusCode::OK,
        &json!({
            "access_token": token.text,
            "token_type": "Bearer",
            "expires_in": token.expires_in,
            "scope": scope.join(" "),
        }),
    ))
}

/// What a machine asks for: all that it may, unless it asks for less.
fn scope(form: &Form) -> Result<Vec<String>, OAuthError> {
    let mut scope = form.words("scope");
    if scope.is_empty() {
        scope.push("api".to_owned());
    }
    match scope.iter().find(|word| !reaches_api(word) || word.len() > 100) {
        Some(word) => Err(OAuthError::invalid_scope(format!(
            "{word} is no scope of a machine; allowed are api and permissions such as crm:lead:read or crm:*"
        ))),
        None if scope.len() > 50 => Err(OAuthError::invalid_scope("more than 50 scopes")),
        None => Ok(scope),
    }
}
