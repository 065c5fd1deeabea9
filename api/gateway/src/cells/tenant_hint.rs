//! The tenant that a request claims to belong to. It is not verified here: it only selects the cell, which verifies it.

use auth_api::authority::{ApiKeyText, Header};
use auth_api::provider::is_mailed_link;
use directory::cell_map::TenantHint;
use face::RawBody;
use kernel::Refusal;
use poem::http::{Method, header};
use poem::{Request, RequestBody};
use serde::Deserialize;
use user_commands::Link;
use uuid::Uuid;

/// The operations for people who follow a mailed link (`api/user/src/rest/link.rs`). They have no token; the link is in the body.
const LINK_OPERATIONS: [&str; 2] = ["/v1/user/invitations/accept", "/v1/user/email/verify"];

/// The tenant in the path of an issuer, in a mailed link, or in the token. Only a body that contains a link is read, of at most `limit`
/// bytes; the request keeps it.
///
/// # Errors
/// When this body is longer, or is cut off.
pub(super) async fn of(request: &mut Request, limit: usize) -> Result<TenantHint, Refusal> {
    if *request.method() != Method::POST || !LINK_OPERATIONS.contains(&request.uri().path()) {
        return Ok(of_head(request));
    }
    let RawBody(bytes) = RawBody::read(&mut RequestBody::new(request.take_body()), limit).await?;
    let named = serde_json::from_slice(&bytes).ok().and_then(|WithLink { link }| Link::claimed_tenant(&link));
    request.set_body(bytes);
    Ok(named.map_or(TenantHint::Absent, TenantHint::Id))
}

/// What is read of a body that contains a link. The cell checks the rest.
#[derive(Deserialize)]
struct WithLink {
    link: String,
}

fn of_head(request: &Request) -> TenantHint {
    let path = request.uri().path();
    let issuer = path
        .strip_prefix("/t/")
        .or_else(|| path.strip_prefix("/.well-known/oauth-authorization-server/t/"))
        .and_then(|rest| rest.split('/').next());
    if let Some(name) = issuer {
        // The paths of pictures contain the tenant's id instead of its short name.
        return match kernel::read_uuid(name) {
            Ok(id) if !kernel::is_slug(name) => TenantHint::Id(id),
            _ => TenantHint::Slug(name.to_owned()),
        };
    }
    let named = if is_mailed_link(path) { tenant_of_link(request) } else { tenant_of_token(request) };
    named.map_or(TenantHint::Absent, TenantHint::Id)
}

fn tenant_of_link(request: &Request) -> Option<Uuid> {
    let query: Vec<(String, String)> = request.params().ok()?;
    query.iter().find(|(name, _)| name == "link").and_then(|(_, link)| Link::claimed_tenant(link))
}

fn tenant_of_token(request: &Request) -> Option<Uuid> {
    let token = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim())?;
    if ApiKeyText::is_one(token) {
        return ApiKeyText::read(token).map(|key| key.tenant);
    }
    Header::read(token)?.1.tenant
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(path: &str, token: Option<&str>) -> TenantHint {
        let request = Request::builder().uri(path.parse().unwrap());
        let request = match token {
            Some(token) => request.header("authorization", token),
            None => request,
        };
        of_head(&request.finish())
    }

    /// What comes without a token and without a link could not be sent to the cell of its tenant.
    #[test]
    fn the_operations_on_links_are_those_of_the_contract_that_need_no_token() {
        let contract = crate::reference::openapi();
        let mut public = Vec::new();
        for (path, operations) in contract["paths"].as_object().unwrap() {
            for (method, operation) in operations.as_object().unwrap() {
                if operation["security"].is_null() {
                    let body = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].as_str();
                    let schema = contract.pointer(body.unwrap().trim_start_matches('#')).unwrap();
                    assert!(method == "post" && schema["properties"]["link"].is_object(), "{method} {path}: {schema}");
                    public.push(path.as_str());
                }
            }
        }
        public.sort_unstable();
        let mut known = LINK_OPERATIONS;
        known.sort_unstable();
        assert_eq!(public, known);
    }

    #[test]
    fn the_path_of_an_issuer_or_the_token_says_whose_a_request_is() {
        let tenant = Uuid::from_u128(7);
        // {"alg":"none"} . {"tenant":"00000000-0000-0000-0000-000000000007"} . nothing
        let token = "Bearer eyJhbGciOiJub25lIn0.eyJ0ZW5hbnQiOiIwMDAwMDAwMC0wMDAwLTAwMDAtMDAwMC0wMDAwMDAwMDAwMDcifQ.";
        assert_eq!(asked("/v1/crm/leads", Some(token)), TenantHint::Id(tenant));
        assert_eq!(asked("/t/acme/login", Some(token)), TenantHint::Slug("acme".to_owned()));
        assert_eq!(asked("/.well-known/oauth-authorization-server/t/acme", None), TenantHint::Slug("acme".to_owned()));
        assert_eq!(asked(&format!("/t/{tenant}/pictures/x"), None), TenantHint::Id(tenant));
        let named = "abcdef01-0000-7000-8000-000000000007";
        assert_eq!(
            asked(&format!("/t/{named}/pictures/x"), None),
            TenantHint::Slug(named.to_owned()),
            "a short name, too"
        );
        for token in [None, Some("Bearer nonsense"), Some("Bearer ink_nonsense"), Some("Basic YTpi")] {
            assert_eq!(asked("/v1/crm/leads", token), TenantHint::Absent, "{token:?}");
        }
    }
}
