//! Whether a token holds (RFC 7662), for those who are shown it and know who they are.

use poem::http::StatusCode;
use serde_json::{Value, json};

use super::client;
use super::error::answer;
use super::form::Form;
use super::{Answer, Provider, Visit};

/// What a token is now.
pub async fn introspect(provider: &Provider, mut visit: Visit) -> Answer {
    let form = Form::read(&visit.form_text().await?)?;
    client::authenticate(provider, &visit, &form).await?;
    let token = form.need("token")?;
    Ok(answer(StatusCode::OK, &access(provider, &visit, token).await.unwrap_or_else(|| json!({ "active": false }))))
}

/// An access token of this tenant that holds; of another's, nothing is said.
async fn access(provider: &Provider, visit: &Visit, token: &str) -> Option<Value> {
    let audience = &provider.authority.settings().audience;
    let (tenant, claims) = provider.trust.signed(token, audience).await.ok()?;
    if tenant.id != visit.tenant.id {
        return None;
    }
    let trusted = provider.trust.standing(tenant.id, &claims).await.ok()?;
    Some(json!({
        "active": true,
        "token_type": "Bearer",
        "iss": visit.issuer,
        "aud": audience,
        "sub": trusted.subject,
        "client_id": claims.custom.client_id,
        "scope": claims.custom.scope,
        "tenant": claims.custom.tenant,
        "roles": trusted.roles,
        "jti": claims.jwt_id,
        "iat": claims.issued_at.map(|at| at.as_secs()),
        "exp": claims.expires_at.map(|at| at.as_secs()),
    }))
}
