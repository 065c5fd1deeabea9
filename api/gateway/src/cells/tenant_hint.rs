//! The tenant that a request claims to belong to. It is not verified here: it only selects the cell, which verifies it.

use auth_api::authority::{ApiKeyText, Header};
use directory::cell_map::TenantHint;
use poem::Request;
use poem::http::header;
use uuid::Uuid;

/// The tenant in the path of an issuer or in the token.
pub(super) fn of(request: &Request) -> TenantHint {
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
    let token = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim());
    token.and_then(tenant_of).map_or(TenantHint::Absent, TenantHint::Id)
}

fn tenant_of(token: &str) -> Option<Uuid> {
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
        of(&request.finish())
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
