//! Requests to a tenant's provider.

use std::net::IpAddr;

use kernel::Refusal;
use poem::http::{HeaderMap, HeaderValue, Method};
use poem::{Body, Request};
use uuid::Uuid;

use super::pages::Brand;
use super::{OAuthError, Provider, brand, is_browser};
use crate::authority::KnownTenant;

/// The default limit for the body of a form, in bytes.
const LIMIT: usize = 64 << 10;

/// The header with which a client may name the tenant.
const TENANT: &str = "x-tenant-id";

fn names(said: &HeaderValue, tenant: &KnownTenant) -> bool {
    said.to_str().is_ok_and(|said| said.parse::<Uuid>() == Ok(tenant.id.uuid()))
}

/// Refuses a request whose header names another tenant than its path.
pub(super) fn agrees(headers: &HeaderMap, tenant: &KnownTenant) -> Result<(), OAuthError> {
    if headers.get_all(TENANT).iter().all(|said| names(said, tenant)) {
        return Ok(());
    }
    let detail = "the header X-Tenant-Id does not match the tenant of this issuer; use that tenant's issuer, or leave the header out";
    Err(Refusal::forbidden("tenant_differs", detail).into())
}

/// A request to a tenant's provider, with its body still unread.
pub struct Visit {
    /// The tenant.
    pub tenant: KnownTenant,
    /// The branding of its pages; only the name if the client does not accept HTML.
    pub brand: Brand,
    /// The tenant's issuer.
    pub issuer: String,
    /// The URL of the endpoint, as clients know it.
    pub endpoint: String,
    /// The method: GET or POST.
    pub method: Method,
    /// The headers.
    pub headers: HeaderMap,
    /// The query string.
    pub query: String,
    /// The client's IP address, if known.
    pub address: Option<IpAddr>,
    /// The id of a SAML connection in the path, if there is one.
    pub connection: Option<String>,
    body: Body,
}

impl Visit {
    /// Resolves the tenant of a request. A request to a tenant that is suspended or deleted is refused here.
    pub(super) async fn begin(provider: &Provider, mut request: Request) -> Result<Self, OAuthError> {
        let slug = request.raw_path_param("tenant").ok_or_else(OAuthError::unknown_tenant)?;
        let tenant = provider.authority.tenant(slug).await?;
        provider.authority.admits(&tenant)?;
        agrees(request.headers(), &tenant)?;
        let brand = if is_browser(&request) {
            brand::brand(&provider.authority, &tenant).await
        } else {
            Brand { name: tenant.name.clone(), logo: None }
        };
        let connection = request.raw_path_param("connection").map(str::to_owned);
        let issuer = provider.authority.issuer(&tenant.slug);
        let address = provider.client_address.address(&request);
        let path = request.uri().path();
        let endpoint = format!("{}{path}", provider.authority.settings().public_url);
        let body = request.take_body();
        Ok(Self {
            tenant,
            brand,
            issuer,
            endpoint,
            method: request.method().clone(),
            query: request.uri().query().unwrap_or_default().to_owned(),
            headers: std::mem::take(request.headers_mut()),
            address,
            connection,
            body,
        })
    }

    /// Reads the body, which has to be a form.
    ///
    /// # Errors
    /// `invalid_request` when it is not a form, or too large.
    pub async fn form_text(&mut self) -> Result<String, OAuthError> {
        self.form_text_within(LIMIT).await
    }

    /// Like [`form_text`](Self::form_text), with a limit of its own, in bytes.
    ///
    /// # Errors
    /// `invalid_request` when it is not a form, or too large.
    pub async fn form_text_within(&mut self, limit: usize) -> Result<String, OAuthError> {
        let kind = self.headers.get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let essence = kind.split(';').next().unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Err(OAuthError::invalid_request("send the parameters as application/x-www-form-urlencoded"));
        }
        let bytes = self
            .take_body()
            .into_bytes_limit(limit)
            .await
            .map_err(|_| OAuthError::invalid_request("the body is too large or incomplete"))?;
        String::from_utf8(bytes.into()).map_err(|_| OAuthError::invalid_request("the body is not UTF-8"))
    }

    /// The body, which can be read only once.
    pub(super) fn take_body(&mut self) -> Body {
        std::mem::replace(&mut self.body, Body::empty())
    }

    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}
