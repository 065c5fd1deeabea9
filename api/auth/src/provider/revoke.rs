//! The revocation endpoint (RFC 7009): revoking a token revokes its grant, with all other tokens of the grant.

use auth_aggregates::{Grant, GrantId, RevokeReason};
use auth_commands::{EndGrant, protocol};
use poem::Response;
use poem::http::StatusCode;

use super::client::{self, AuthenticatedClient};
use super::form::Form;
use super::{Answer, OAuthError, Provider, Visit};
use crate::authority::{Opaque, Use};

/// Revokes the grant of a token. An invalid token or another client's gets the same response (section 2.2), but nothing is revoked.
pub async fn revoke(provider: &Provider, mut visit: Visit) -> Answer {
    let form = Form::read(&visit.form_text().await?)?;
    let client = client::authenticate(provider, &visit, &form).await?;
    if let Some(grant) = grant_of(provider, &visit, &client, form.need("token")?).await? {
        let end = EndGrant { grant, reason: RevokeReason::Client };
        provider.authority.run(&protocol(visit.tenant.id, &client.id.to_string()), &end).await?;
    }
    Ok(Response::builder().status(StatusCode::OK).finish())
}

/// The grant of an access or refresh token, if it was issued to this client.
async fn grant_of(
    provider: &Provider,
    visit: &Visit,
    client: &AuthenticatedClient,
    token: &str,
) -> Result<Option<GrantId>, OAuthError> {
    let key = provider.tenant_key(visit).await?;
    if let Some(said) = Opaque::read(token, visit.tenant.id, Use::Refresh, &key) {
        let grant = GrantId::new(said.id);
        let caller = protocol(visit.tenant.id, &client.id.to_string());
        let found = provider.authority.executor().load::<Grant>(&caller, &grant.to_string()).await?;
        let theirs =
            found.is_some_and(|(state, _)| state.terms.as_ref().is_some_and(|terms| terms.client == client.id));
        return Ok(theirs.then_some(grant));
    }
    // All our access tokens have the issuer itself among their audiences.
    let signed = provider.trust.verify_token(token, &visit.issuer).await.ok();
    let ours = signed
        .filter(|(tenant, claims)| tenant.id == visit.tenant.id && claims.custom.client_id == client.id.to_string());
    Ok(ours.map(|(_, claims)| claims.custom.grant))
}
