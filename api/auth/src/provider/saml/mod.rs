//! Sign-in through an identity provider (SAML 2.0, Web Browser SSO profile).
//!
//! ```text
//! discover / login ─▶ the identity provider, with a signed request; its state is sealed into a cookie
//! consume (a POST without our cookies) ─▶ the response is verified, and sealed into the address of
//! finish (our own site, with the cookie) ─▶ the response matches this browser's request ─▶ a session
//! single_logout ◀▶ the identity provider, both ways: the session of the browser that brings the message ends
//! posted_logout ─▶ the same in a form (without our cookies), sealed into the address of finish_logout
//! ```
//!
//! The crate `saml` verifies messages. The log ensures that an assertion works once: a claim in the append that consumes it. The user
//! service decides who is admitted ([`face::Admission`]).

mod logout;
mod response;

use auth_aggregates::{SamlConnection, SamlConnectionId};
use auth_commands::protocol;
use auth_projections::saml_connections;
use chrono::{DateTime, TimeDelta, Utc};
use kernel::Refusal;
use poem::Response;
use poem::http::{StatusCode, header};
use saml::{Certificate, IdentityProvider, Own, PublicKeys, SignInRequest};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use uuid::Uuid;

pub use logout::{finish_logout, posted_logout, single_logout};
pub(super) use logout::{logout_request, to_identity_provider};
pub use response::{consume, finish};

use super::authorize::{see_other, show_login};
use super::browser::Cookies;
use super::goal::{Then, from_login};
use super::{Answer, OAuthError, Provider, Visit, pages};
use crate::authority::{Opaque, Use, refused};

/// The purposes for which state is sealed.
const ON_REQUEST: &str = "auth.saml.request";
const ON_ANSWER: &str = "auth.saml.answer";

/// The cookie with the state of an authentication request.
const REQUEST: &str = "inopsio-saml";

/// How long a user may take at the identity provider.
const PATIENCE: TimeDelta = TimeDelta::minutes(30);

/// The lifetime of a verified message in an address. The browser is redirected at once; somebody who finds the address later must not be
/// able to use it.
const SENT_ON: TimeDelta = TimeDelta::minutes(2);

/// The largest cookie that browsers store (4,096 bytes), less its name and attributes.
const LONGEST_COOKIE: usize = 3_800;

/// The state of an authentication request, sealed into a cookie of the browser that was redirected.
#[derive(Serialize, Deserialize)]
struct PendingRequest {
    request: Uuid,
    connection: SamlConnectionId,
    then: Then,
    /// Whether the user has to authenticate again at the identity provider (`ForceAuthn`).
    fresh: bool,
    at: DateTime<Utc>,
}

/// An active connection of the tenant.
struct Connection {
    id: SamlConnectionId,
    state: Arc<SamlConnection>,
    provider: IdentityProvider,
    own: Own,
}

/// Finds the identity provider by the domain of the user's e-mail address, and sends the browser there.
pub async fn discover(provider: &Provider, mut visit: Visit) -> Answer {
    let (form, goal) = match from_login(provider, &mut visit).await? {
        Ok(sent) => sent,
        Err(answer) => return Ok(answer),
    };
    let email = form.get("email").unwrap_or_default().trim();
    let domain = email.rsplit_once('@').map(|(_, domain)| kernel::folded(domain)).unwrap_or_default();
    let Some(id) = provider.connection_of(&visit, &domain).await? else {
        let unknown = "No organization signs people with this address in here.";
        return show_login(provider, &visit, &goal, email, Some(unknown)).await;
    };
    let connection = provider.connection(&visit, id).await?;
    let (url, cookies) = provider.start_sign_in(&visit, &connection, goal.then(), goal.wants_fresh()).await?;
    let mut response = pages::to_provider(&visit.brand, &connection.state.details.name, &url);
    cookies.set(&mut response);
    Ok(response)
}

/// Starts a sign-in at an identity provider that leads to the account page.
pub async fn login(provider: &Provider, visit: Visit) -> Answer {
    let connection = provider.named_connection(&visit).await?;
    let (url, cookies) = provider.start_sign_in(&visit, &connection, Then::Account, false).await?;
    let mut response = see_other(&url);
    cookies.set(&mut response);
    Ok(response)
}

/// Our metadata as a service provider, for the connection's identity provider.
pub async fn metadata(provider: &Provider, visit: Visit) -> Answer {
    let connection = provider.named_connection(&visit).await?;
    let (_, signing) = provider.authority.saml_key(&visit.tenant).await?;
    let encryption = provider.authority.saml_encryption(&visit.tenant).await?;
    let shown = PublicKeys { signing: &signing, encryption: &encryption };
    let document = provider.saml.metadata(&connection.own, shown).map_err(|fault| unusable(&fault))?;
    Ok(Response::builder()
        .status(StatusCode::OK)
        .content_type("application/samlmetadata+xml")
        .header(header::CACHE_CONTROL, "public, max-age=300")
        .header(header::CONTENT_DISPOSITION, "inline; filename=\"metadata.xml\"")
        .body(document))
}

impl Provider {
    /// Whether the tenant has an active connection to an identity provider.
    pub(super) async fn is_connected(&self, visit: &Visit) -> Result<bool, OAuthError> {
        let Some(read_models) = &self.read_models else { return Ok(false) };
        let mut tables = read_models.begin(visit.tenant.id).await.map_err(unreadable)?;
        Ok(saml_connections::any_active(&mut tables, visit.tenant.id).await.map_err(unreadable)?)
    }

    /// The connection for an e-mail domain. It only decides where to send the browser; the connection itself restricts which assertions are
    /// accepted.
    async fn connection_of(&self, visit: &Visit, domain: &str) -> Result<Option<SamlConnectionId>, OAuthError> {
        let Some(read_models) = &self.read_models else { return Ok(None) };
        let mut tables = read_models.begin(visit.tenant.id).await.map_err(unreadable)?;
        let found = saml_connections::of_domain(&mut tables, visit.tenant.id, domain).await.map_err(unreadable)?;
        Ok(found.map(SamlConnectionId::new))
    }

    /// The connection in the path.
    async fn named_connection(&self, visit: &Visit) -> Result<Connection, OAuthError> {
        let id = visit.connection.as_deref().and_then(|id| id.parse().ok()).ok_or_else(unknown)?;
        self.connection(visit, id).await
    }

    async fn connection(&self, visit: &Visit, id: SamlConnectionId) -> Result<Connection, OAuthError> {
        self.active_connection(visit, id).await?.ok_or_else(unknown)
    }

    /// The active connection with this id.
    async fn active_connection(&self, visit: &Visit, id: SamlConnectionId) -> Result<Option<Connection>, OAuthError> {
        let caller = protocol(visit.tenant.id, "auth");
        let found = self.authority.executor().load::<SamlConnection>(&caller, &id.to_string()).await?;
        let Some((state, _)) = found.filter(|(state, _)| state.active) else { return Ok(None) };
        let told = &state.details.provider;
        let certificates = told.certificates.iter().map(|text| Certificate::from_base64(text));
        let provider = IdentityProvider {
            entity_id: told.entity_id.clone(),
            sign_in_url: told.sign_in_url.clone(),
            sign_out_url: told.sign_out_url.clone(),
            sign_out_by_post: told.sign_out_by_post,
            sign_out_answer_url: told.sign_out_answer_url.clone(),
            certificates: certificates.collect::<Result<_, _>>().map_err(|fault| unusable(&fault))?,
        };
        let at = |endpoint: &str| format!("{}/saml/{id}/{endpoint}", visit.issuer);
        let own = Own { entity_id: at("metadata"), acs: at("acs"), slo: at("slo") };
        Ok(Some(Connection { id, state, provider, own }))
    }

    /// The address to which the browser is sent with an authentication request, and the cookie with the request's state.
    async fn start_sign_in(
        &self,
        visit: &Visit,
        connection: &Connection,
        then: Then,
        fresh: bool,
    ) -> Result<(String, Cookies), OAuthError> {
        let at = self.authority.now();
        let request = self.request_id(at)?;
        let asked = PendingRequest { request, connection: connection.id, then, fresh, at };
        let cookie = self.seal_state(visit, ON_REQUEST, asked).await?;
        if cookie.len() > LONGEST_COOKIE {
            return Err(OAuthError::invalid_request("the request of the application is too long to be kept"));
        }
        let key = self.tenant_key(visit).await?;
        let id = Opaque { id: request, generation: 0 }.write(visit.tenant.id, Use::SamlRequest, &key);
        let (signing, _) = self.authority.saml_key(&visit.tenant).await?;
        let asking = SignInRequest { id: &id, at, fresh };
        let url = self.saml.request(&connection.own, &connection.provider, &asking, &signing);
        let cookie = self.cookie(visit, REQUEST, &cookie, PATIENCE);
        Ok((url.map_err(|fault| unusable(&fault))?, Cookies::of(cookie)))
    }

    /// A UUID (version 7), which contains the time when it was made.
    fn request_id(&self, at: DateTime<Utc>) -> Result<Uuid, OAuthError> {
        let mut random = [0; 10];
        self.authority.random().fill(&mut random).map_err(refused)?;
        let millis = at.timestamp_millis().cast_unsigned();
        Ok(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
    }
}

/// The same response for connections that do not exist, belong to another tenant, or are deactivated.
fn unknown() -> OAuthError {
    Refusal::not_found("not_found", "there is no connected identity provider at this address").into()
}

fn unreadable(error: impl std::fmt::Display) -> Refusal {
    tracing::warn!(%error, "the read models can't be asked for identity providers");
    Refusal::unavailable("read_models_unavailable", "identity providers can't be looked up now; try again later")
}

fn unusable(fault: &saml::Fault) -> Refusal {
    tracing::error!(%fault, "a SAML connection or key can't be used");
    Refusal::internal("saml_unusable", "this connection can't be used; see the server's log for the reason")
}
