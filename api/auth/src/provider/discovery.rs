//! The metadata and keys that clients fetch by themselves: OpenID Connect Discovery 1.0 and RFC 8414.

use auth_aggregates::OurAlgorithm;
use poem::Response;
use poem::http::{StatusCode, header};
use serde_json::json;

use super::{Answer, Provider, Visit};

/// How long clients may cache them. A new signing key is published for longer than this before it signs.
const KEEP: &str = "public, max-age=300";

const CLAIMS: [&str; 24] = [
    "iss",
    "sub",
    "aud",
    "exp",
    "iat",
    "auth_time",
    "nonce",
    "acr",
    "amr",
    "sid",
    "at_hash",
    "name",
    "given_name",
    "family_name",
    "preferred_username",
    "picture",
    "locale",
    "zoneinfo",
    "updated_at",
    "email",
    "email_verified",
    "phone_number",
    "phone_number_verified",
    "address",
];

/// The provider's metadata document.
pub async fn configuration(_: &Provider, visit: Visit) -> Answer {
    let at = |path: &str| format!("{}/{path}", visit.issuer);
    let authentication = ["client_secret_basic", "client_secret_post", "private_key_jwt"];
    let methods = [&authentication[..], &["none"]].concat();
    let algorithms = ["EdDSA", "ES256", "RS256"];
    let document = json!({
        "issuer": visit.issuer,
        "jwks_uri": at("jwks"),
        "authorization_endpoint": at("authorize"),
        "userinfo_endpoint": at("userinfo"),
        "end_session_endpoint": at("logout"),
        "backchannel_logout_supported": true,
        "backchannel_logout_session_supported": true,
        "pushed_authorization_request_endpoint": at("par"),
        "require_pushed_authorization_requests": false,
        "device_authorization_endpoint": at("device_authorization"),
        "token_endpoint": at("token"),
        "introspection_endpoint": at("introspect"),
        "revocation_endpoint": at("revoke"),
        "grant_types_supported": [
            "authorization_code",
            "client_credentials",
            "refresh_token",
            super::token::DEVICE,
            super::exchange::EXCHANGE,
        ],
        "response_types_supported": ["code"],
        "response_modes_supported": super::authorization_response::RESPONSE_MODES,
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": true,
        "request_parameter_supported": false,
        "request_uri_parameter_supported": false,
        "acr_values_supported": ["aal1", "aal2"],
        "prompt_values_supported": super::authorization_request::PROMPTS,
        "claims_supported": CLAIMS,
        "scopes_supported": super::authorization_request::SCOPES,
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": OurAlgorithm::ALL,
        "token_endpoint_auth_methods_supported": methods,
        "token_endpoint_auth_signing_alg_values_supported": algorithms,
        "introspection_endpoint_auth_methods_supported": authentication,
        "introspection_endpoint_auth_signing_alg_values_supported": algorithms,
        // A public client can revoke its own tokens, too.
        "revocation_endpoint_auth_methods_supported": methods,
        "revocation_endpoint_auth_signing_alg_values_supported": algorithms,
    });
    Ok(public("application/json", document.to_string()))
}

/// The JSON Web Key Set that verifies the tenant's tokens.
pub async fn keys(provider: &Provider, visit: Visit) -> Answer {
    let ring = provider.authority.ring_or_open(visit.tenant.id).await?;
    Ok(public("application/jwk-set+json", ring.key_set().to_string()))
}

fn public(content_type: &str, body: String) -> Response {
    Response::builder()
        .status(StatusCode::OK)
        .content_type(content_type)
        .header(header::CACHE_CONTROL, KEEP)
        // All of it is public; scripts in browsers are clients, too.
        .header(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*")
        .body(body)
}
