//! The token endpoint (RFC 6749 section 3.2).

use auth_aggregates::{Grant, GrantId, GrantKind, GrantTerms, Machine};
use auth_commands::{OpenGrant, RedeemCode, Redeemed, RefreshTokens, protocol};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use face::Person;
use kernel::UserId;
use poem::http::StatusCode;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::client::{self, AuthenticatedClient, ClientState};
use super::error::answer;
use super::exchange::{EXCHANGE, exchange};
use super::form::Form;
use super::id_token::SignedIn;
use super::{Answer, OAuthError, Provider, Visit, device};
use crate::authority::{AccessClaims, Opaque, Use, reaches_api};

/// The grant type of the device authorization grant (RFC 8628 section 3.4).
pub(super) const DEVICE: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// The description for every invalid code and refresh token, whatever the reason.
const INVALID_GRANT: &str =
    "the token or code is not valid, belongs to another client, has expired, or was already used";

/// Handles a token request.
pub async fn token(provider: &Provider, mut visit: Visit) -> Answer {
    let form = Form::read(&visit.form_text().await?)?;
    let client = client::authenticate(provider, &visit, &form).await?;
    match (form.need("grant_type")?, &client.state) {
        ("client_credentials", ClientState::Machine(machine)) => {
            client_credentials(provider, &visit, &form, &client, machine).await
        }
        ("authorization_code", ClientState::Application(_)) => {
            authorization_code(provider, &visit, &form, &client).await
        }
        ("refresh_token", ClientState::Application(_)) => refresh(provider, &visit, &form, &client).await,
        (DEVICE, ClientState::Application(_)) => device::redeem(provider, &visit, &form, &client).await,
        (EXCHANGE, ClientState::Application(application)) => {
            exchange(provider, &visit, &form, &client, application).await
        }
        (known @ ("client_credentials" | "authorization_code" | "refresh_token" | DEVICE | EXCHANGE), _) => {
            Err(OAuthError::unauthorized_client(format!("this client may not use the grant type {known}")))
        }
        (other, _) => Err(OAuthError::unsupported_grant_type(format!(
            "there is no grant type {other}; allowed are authorization_code, client_credentials, refresh_token, {DEVICE} and {EXCHANGE}"
        ))),
    }
}

/// The client credentials grant (RFC 6749 section 4.4): a machine acts for itself.
async fn client_credentials(
    provider: &Provider,
    visit: &Visit,
    form: &Form,
    client: &AuthenticatedClient,
    machine: &Machine,
) -> Answer {
    let scope = scope_of_machine(form)?;
    let (lifetime, now) = (provider.authority.settings().access, provider.authority.now());
    let terms =
        GrantTerms::new(GrantKind::ClientCredentials, (client.id, client.id), scope.clone(), now, now + lifetime);
    let open = OpenGrant { terms: terms.clone() };
    let caller = protocol(visit.tenant.id, &client.id.to_string());
    let done = provider.authority.run(&caller, &open).await?;
    let claims = AccessClaims {
        tenant: visit.tenant.id.uuid(),
        roles: machine.roles.clone(),
        scope: scope.join(" "),
        client_id: client.id.to_string(),
        grant: done.answer,
        sid: None,
        acr: None,
        amr: Vec::new(),
        auth_time: None,
        act: None,
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

/// Redeems an authorization code (RFC 6749 section 4.1.3) with its PKCE verifier (RFC 7636).
async fn authorization_code(provider: &Provider, visit: &Visit, form: &Form, client: &AuthenticatedClient) -> Answer {
    let key = provider.tenant_key(visit).await?;
    let code = Opaque::read(form.need("code")?, visit.tenant.id, Use::Code, &key);
    let verifier = form.need("code_verifier")?;
    let redirect_uri = form.need("redirect_uri")?.to_owned();
    let code = code.ok_or_else(|| OAuthError::invalid_grant(INVALID_GRANT))?;
    // A malformed verifier matches no challenge: a short one could be guessed.
    let challenge = is_verifier(verifier).then(|| URL_SAFE_NO_PAD.encode(Sha256::digest(verifier)));
    let redeem = RedeemCode {
        grant: GrantId::new(code.id),
        client: client.id,
        redirect_uri,
        challenge: challenge.unwrap_or_default(),
    };
    let caller = protocol(visit.tenant.id, &client.id.to_string());
    let done = provider.authority.run(&caller, &redeem).await?;
    tokens(provider, visit, client, redeem.grant, done.answer, None).await
}

/// Whether a text has the syntax of a code verifier (RFC 7636 section 4.1).
fn is_verifier(text: &str) -> bool {
    (43..=128).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~'))
}

/// Refreshes tokens (RFC 6749 section 6).
async fn refresh(provider: &Provider, visit: &Visit, form: &Form, client: &AuthenticatedClient) -> Answer {
    let key = provider.tenant_key(visit).await?;
    let token = Opaque::read(form.need("refresh_token")?, visit.tenant.id, Use::Refresh, &key);
    let token = token.ok_or_else(|| OAuthError::invalid_grant(INVALID_GRANT))?;
    let grant = GrantId::new(token.id);
    let caller = protocol(visit.tenant.id, &client.id.to_string());
    // The scope is checked before the token is consumed: a request for too much must not use it up.
    let narrowed = form.words("scope");
    let found = provider.authority.executor().load::<Grant>(&caller, &grant.to_string()).await?;
    let terms = found.and_then(|(grant, _)| grant.terms.clone()).filter(|terms| terms.client == client.id);
    let terms = terms.ok_or_else(|| OAuthError::invalid_grant(INVALID_GRANT))?;
    if narrowed.iter().any(|word| !terms.scope.contains(word)) {
        return Err(OAuthError::invalid_scope("the scope exceeds what was granted"));
    }
    provider.may_issue_tokens(visit, &terms).await?.ok_or_else(|| OAuthError::invalid_grant(INVALID_GRANT))?;
    let refresh = RefreshTokens { grant, client: client.id, generation: token.generation };
    let done = provider.authority.run(&caller, &refresh).await?;
    let narrowed = (!narrowed.is_empty()).then_some(narrowed);
    tokens(provider, visit, client, grant, done.answer, narrowed).await
}

/// The token response for a grant, after its code or refresh token was redeemed. `narrowed`: the requested part of the scope; none: all of
/// it.
pub(super) async fn tokens(
    provider: &Provider,
    visit: &Visit,
    client: &AuthenticatedClient,
    grant: GrantId,
    redeemed: Redeemed,
    narrowed: Option<Vec<String>>,
) -> Answer {
    let nothing = || OAuthError::invalid_grant(INVALID_GRANT);
    let Redeemed::Granted { generation } = redeemed else { return Err(nothing()) };
    let caller = protocol(visit.tenant.id, &client.id.to_string());
    let found = provider.authority.executor().load::<Grant>(&caller, &grant.to_string()).await?;
    let terms = found.and_then(|(grant, _)| grant.terms.clone()).ok_or_else(nothing)?;
    let (person, signed_in) = provider.may_issue_tokens(visit, &terms).await?.ok_or_else(nothing)?;
    let lifetime = provider.authority.settings().access;
    let scope = narrowed.unwrap_or_else(|| terms.scope.clone());
    let claims = AccessClaims {
        tenant: visit.tenant.id.uuid(),
        roles: person.roles.clone(),
        scope: scope.join(" "),
        client_id: client.id.to_string(),
        grant,
        sid: terms.session.map(|session| session.to_string()),
        acr: signed_in.as_ref().map(|signed_in| signed_in.acr.to_owned()),
        amr: signed_in.as_ref().map(|signed_in| signed_in.methods.clone()).unwrap_or_default(),
        auth_time: signed_in.map(|signed_in| signed_in.auth_time),
        act: None,
    };
    let token = provider.authority.access_token(&visit.tenant, &terms, claims, lifetime).await?;
    let mut said = json!({
        "access_token": token.text,
        "token_type": "Bearer",
        "expires_in": token.expires_in,
        "scope": scope.join(" "),
    });
    if scope.iter().any(|word| word == "openid") {
        // Only the response to the authorization request contains its nonce, refreshed ID tokens do not (OpenID Connect Core section 12.2).
        let nonce = terms.code.as_ref().filter(|_| generation == 0).and_then(|code| code.nonce.clone());
        said["id_token"] = provider.id_token(visit, &terms, (&person, &scope), &token.text, nonce).await?.into();
    }
    if terms.scope.iter().any(|word| word == "offline_access") {
        let key = provider.tenant_key(visit).await?;
        let next = Opaque { id: grant.uuid(), generation };
        said["refresh_token"] = Value::from(next.write(visit.tenant.id, Use::Refresh, &key));
    }
    Ok(answer(StatusCode::OK, &said))
}

impl Provider {
    /// The user for whom a client acts, and how they signed in, if tokens may still be issued: the grant is valid, the user may sign in,
    /// and the sign-in satisfies the tenant's present requirement of a second factor.
    ///
    /// # Errors
    /// When it can't be determined now.
    pub(super) async fn may_issue_tokens(
        &self,
        visit: &Visit,
        terms: &GrantTerms,
    ) -> Result<Option<(Person, Option<SignedIn>)>, OAuthError> {
        if !self.trust.is_grant_valid(visit.tenant.id, terms).await? {
            return Ok(None);
        }
        let person = self.person(visit, UserId::new(terms.subject)).await?;
        let Some(person) = person.filter(|person| person.may_sign_in) else { return Ok(None) };
        let signed_in = self.signed_in(visit, terms).await?;
        let sure = signed_in.as_ref().is_some_and(|signed_in| signed_in.acr == "aal2");
        let enough = sure || !self.requires_second_factor(visit, &person).await?;
        Ok(enough.then_some((person, signed_in)))
    }
}

/// The scope that a machine requests; by default everything that it may do (`api`).
fn scope_of_machine(form: &Form) -> Result<Vec<String>, OAuthError> {
    let mut scope = form.words("scope");
    if scope.is_empty() {
        scope.push("api".to_owned());
    }
    match scope.iter().find(|word| !reaches_api(word)) {
        Some(word) => Err(OAuthError::invalid_scope(format!(
            "{word} is not a scope for machines; allowed are api and permissions such as crm:lead:read or crm:*"
        ))),
        None if scope.len() > 50 => Err(OAuthError::invalid_scope("more than 50 scopes")),
        None => Ok(scope),
    }
}
