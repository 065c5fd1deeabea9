//! The introspection endpoint (RFC 7662): whether a token is active, for authenticated clients that received it.

use std::collections::BTreeSet;

use auth_aggregates::{Grant, GrantId};
use auth_commands::protocol;
use poem::http::StatusCode;
use serde_json::{Value, json};

use super::client::{self, AuthenticatedClient};
use super::error::answer;
use super::form::Form;
use super::{Answer, OAuthError, Provider, Visit};
use crate::authority::{AccessClaims, Opaque, Use};

/// Handles an introspection request.
pub async fn introspect(provider: &Provider, mut visit: Visit) -> Answer {
    let form = Form::read(&visit.form_text().await?)?;
    let client = client::authenticate(provider, &visit, &form).await?;
    if client.is_public() {
        // Anybody can claim to be a public client.
        return Err(OAuthError::unauthorized_client("a public client can't introspect tokens"));
    }
    let token = form.need("token")?;
    let found = match access(provider, &visit, token).await {
        Some(found) => Some(found),
        None => refresh(provider, &visit, &client, token).await?,
    };
    Ok(answer(StatusCode::OK, &found.unwrap_or_else(|| json!({ "active": false }))))
}

/// The introspection of a valid access token of this tenant; nothing is revealed about another tenant's.
async fn access(provider: &Provider, visit: &Visit, token: &str) -> Option<Value> {
    // All our access tokens have the issuer itself among their audiences.
    let (tenant, claims) = provider.trust.verify_token(token, &visit.issuer).await.ok()?;
    if tenant.id != visit.tenant.id {
        return None;
    }
    let trusted = provider.trust.check_grants(tenant.id, &claims).await.ok()?;
    let audiences = claims.audiences.map(jwt_simple::claims::Audiences::into_set).unwrap_or_default();
    let audiences: BTreeSet<_> = audiences.into_iter().collect();
    let mut said = json!({
        "active": true,
        "token_type": "Bearer",
        "iss": visit.issuer,
        "aud": audiences,
        "sub": trusted.subject,
        "client_id": claims.custom.client_id,
        "scope": claims.custom.scope,
        "tenant": claims.custom.tenant,
        "roles": trusted.roles,
        "jti": claims.jwt_id,
        "iat": claims.issued_at.map(|at| at.as_secs()),
        "exp": claims.expires_at.map(|at| at.as_secs()),
    });
    let AccessClaims { sid, acr, amr, auth_time, act, .. } = claims.custom;
    let amr = Some(amr).filter(|amr| !amr.is_empty());
    // How and when the user authenticated, for resource servers that require more (RFC 9470 section 6.2).
    for (name, value) in [
        ("sid", json!(sid)),
        ("acr", json!(acr)),
        ("amr", json!(amr)),
        ("auth_time", json!(auth_time)),
        ("act", json!(act)),
    ] {
        if !value.is_null() {
            said[name] = value;
        }
    }
    Some(said)
}

/// The introspection of a valid refresh token of this client.
async fn refresh(
    provider: &Provider,
    visit: &Visit,
    client: &AuthenticatedClient,
    token: &str,
) -> Result<Option<Value>, OAuthError> {
    let key = provider.tenant_key(visit).await?;
    let Some(said) = Opaque::read(token, visit.tenant.id, Use::Refresh, &key) else { return Ok(None) };
    let caller = protocol(visit.tenant.id, &client.id.to_string());
    let grant = GrantId::new(said.id);
    let found = provider.authority.executor().load::<Grant>(&caller, &grant.to_string()).await?;
    let Some((state, _)) = found.filter(|(state, _)| state.is_valid(provider.authority.now())) else { return Ok(None) };
    let terms = state.terms.as_ref().filter(|terms| terms.client == client.id && said.generation == state.generation);
    let Some(terms) = terms else { return Ok(None) };
    if provider.may_issue_tokens(visit, terms).await?.is_none() {
        return Ok(None);
    }
    Ok(Some(json!({
        "active": true,
        "token_type": "refresh_token",
        "iss": visit.issuer,
        "sub": terms.subject,
        "client_id": terms.client,
        "scope": terms.scope.join(" "),
        "tenant": visit.tenant.id.uuid(),
        "exp": terms.expires_at.timestamp(),
    })))
}
