//! Giving a token back (RFC 7009): with it ends the grant, and all other tokens of that.

use auth_aggregates::RevokeReason;
use auth_commands::{EndGrant, protocol};
use poem::Response;
use poem::http::StatusCode;

use super::client;
use super::form::Form;
use super::{Answer, Provider, Visit};

/// Ends the grant of a token. What is no token of the client's is answered like one that is (section 2.2): it holds no more.
pub async fn revoke(provider: &Provider, mut visit: Visit) -> Answer {
    let form = Form::read(&visit.form_text().await?)?;
    let client = client::authenticate(provider, &visit, &form).await?;
    let token = form.need("token")?;
    let audience = &provider.authority.settings().audience;
    if let Ok((tenant, claims)) = provider.trust.signed(token, audience).await
        && tenant.id == visit.tenant.id
        && claims.custom.client_id == client.id.to_string()
    {
        let end = EndGrant { grant: claims.custom.grant, reason: RevokeReason::Client };
        provider.authority.run(&protocol(tenant.id, &client.id.to_string()), &end).await?;
    }
    Ok(Response::builder().status(StatusCode::OK).finish())
}
