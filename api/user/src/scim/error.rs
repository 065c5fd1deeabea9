//! Errors (RFC 7644 section 3.12). This is the only place that maps refusals of commands to SCIM's error types and attribute names.

use face::{Denials, Denied};
use kernel::{FieldError, Kind, Refusal, Versions};
use poem::Response;
use poem::http::{HeaderValue, StatusCode, header};
use serde_json::json;

use super::MEDIA_TYPE;

/// A SCIM error response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ScimError {
    pub(super) status: StatusCode,
    /// The `scimType` of RFC 7644 table 9, if there is one for the error.
    pub(super) scim_type: Option<&'static str>,
    pub(super) detail: String,
    /// The code of the refusal from which the error was made.
    code: Option<&'static str>,
    /// The permission that the caller lacks, if that is the error.
    denied: Option<Box<Denied>>,
}

impl ScimError {
    /// An error without a `scimType`.
    pub(super) fn of(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, scim_type: None, detail: detail.into(), code: None, denied: None }
    }

    /// The error of read models, or of the log, that can't be read now.
    pub(super) fn unreadable(error: impl std::fmt::Display) -> Self {
        tracing::warn!(%error, "the read models can't be read for SCIM");
        Self::of(StatusCode::SERVICE_UNAVAILABLE, "the directory is not available; try again")
    }

    fn bad(scim_type: &'static str, detail: impl Into<String>) -> Self {
        Self { scim_type: Some(scim_type), ..Self::of(StatusCode::BAD_REQUEST, detail) }
    }

    /// `invalidSyntax`: the body is not JSON, or has the wrong structure.
    pub(super) fn syntax(detail: impl Into<String>) -> Self {
        Self::bad("invalidSyntax", detail)
    }

    /// `invalidValue`: a value is missing, or not allowed.
    pub(super) fn value(detail: impl Into<String>) -> Self {
        Self::bad("invalidValue", detail)
    }

    /// `invalidFilter`: the filter can't be parsed, or is not supported.
    pub(super) fn filter(detail: impl Into<String>) -> Self {
        Self::bad("invalidFilter", detail)
    }

    /// `invalidPath`: a path can't be parsed.
    pub(super) fn path(detail: impl Into<String>) -> Self {
        Self::bad("invalidPath", detail)
    }

    /// `noTarget`: a path is missing, or matches no value.
    pub(super) fn no_target(detail: impl Into<String>) -> Self {
        Self::bad("noTarget", detail)
    }

    /// `mutability`: the attribute is read-only.
    pub(super) fn mutability(detail: impl Into<String>) -> Self {
        Self::bad("mutability", detail)
    }

    /// `tooMany`: the request needs more values to be processed than is allowed.
    pub(super) fn too_many(detail: impl Into<String>) -> Self {
        Self::bad("tooMany", detail)
    }

    /// The resource has a version that `If-Match` does not name.
    pub(super) fn version_differs(wanted: &Versions, actual: u64) -> Self {
        let detail = format!(
            "If-Match names {wanted}, but the current version is {actual}; read the resource again, then decide (version_differs)"
        );
        Self::of(StatusCode::PRECONDITION_FAILED, detail)
    }

    /// There is no such resource in the tenant.
    pub(super) fn not_found(what: &str, id: &str) -> Self {
        Self::of(StatusCode::NOT_FOUND, format!("there is no {what} {id}"))
    }

    /// The same error with another status. A `scimType` is kept only with 400, for which table 9 defines it.
    pub(super) fn with_status(self, status: StatusCode) -> Self {
        let scim_type = self.scim_type.filter(|_| status == StatusCode::BAD_REQUEST);
        Self { status, scim_type, ..self }
    }

    pub(super) fn into_response(self) -> Response {
        let mut body = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"],
            "status": self.status.as_u16().to_string(),
            "detail": self.detail,
        });
        if let Some(scim_type) = self.scim_type {
            body["scimType"] = scim_type.into();
        }
        let builder = Response::builder().status(self.status).header(header::CONTENT_TYPE, MEDIA_TYPE);
        let mut response = builder.body(body.to_string());
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, face::challenge(self.code.unwrap_or_default()));
        }
        if let Some(denied) = self.denied {
            response.set_data(Denials(vec![*denied]));
        }
        response
    }
}

/// The SCIM attribute for a JSON pointer into a command. Indexes of lists are left out, because commands sort lists in their own order.
fn attribute(pointer: &str) -> &str {
    let mut steps = pointer.split('/').skip(1);
    match steps.next().unwrap_or_default() {
        "" => "the body",
        "address" => match steps.next().unwrap_or_default() {
            "country" => "addresses.country",
            "locality" => "addresses.locality",
            "postal_code" => "addresses.postalCode",
            "region" => "addresses.region",
            "street" => "addresses.streetAddress",
            _ => "addresses",
        },
        "address_type" => "addresses.type",
        "email" => "emails, or userName if that is the address",
        "email_type" => "emails.type",
        "external_id" => "externalId",
        "family_name" => "name.familyName",
        "formatted_address" => "addresses.formatted",
        "formatted_name" => "name.formatted",
        "given_name" => "name.givenName",
        "join" | "leave" => "members",
        "name" => "displayName",
        "phone" => "phoneNumbers",
        "phone_type" => "phoneNumbers.type",
        "time_zone" => "timezone",
        "user_name" => "userName",
        same => same,
    }
}

impl From<Refusal> for ScimError {
    fn from(refusal: Refusal) -> Self {
        let mut status = face::status(refusal.kind());
        let said = |error: &FieldError| format!("{}: {}", attribute(&error.pointer), error.detail);
        let detail = match refusal.errors() {
            [] => refusal.detail().to_owned(),
            errors => errors.iter().map(said).collect::<Vec<_>>().join("; "),
        };
        let scim_type = match refusal.code() {
            "login_taken" | "group_name_taken" | "invited_already" => Some("uniqueness"),
            "reference_unknown" => {
                status = StatusCode::BAD_REQUEST;
                Some("invalidValue")
            }
            _ if refusal.kind() == Kind::Invalid => Some("invalidValue"),
            _ => None,
        };
        let (code, denied) = (Some(refusal.code()), Denied::of(&refusal).map(Box::new));
        Self { status, scim_type, detail: format!("{detail} ({})", refusal.code()), code, denied }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(pointer: &str) -> FieldError {
        FieldError::new(pointer, "empty", "this can't be empty")
    }

    #[test]
    fn what_a_command_says_of_its_values_is_said_by_scims_names() {
        for (pointer, name) in [
            ("", "the body"),
            ("/name", "displayName"),
            ("/family_name", "name.familyName"),
            ("/title", "title"),
            ("/address/postal_code", "addresses.postalCode"),
            ("/address_type", "addresses.type"),
            ("/formatted_address", "addresses.formatted"),
            ("/time_zone", "timezone"),
            ("/user_name", "userName"),
            ("/join/17", "members"),
        ] {
            let said = ScimError::from(Refusal::fields(vec![error(pointer)]));
            assert_eq!(said.detail, format!("{name}: this can't be empty (validation_failed)"));
            assert_eq!((said.status, said.scim_type), (StatusCode::BAD_REQUEST, Some("invalidValue")));
        }
        let several = ScimError::from(Refusal::references(vec![error("/join/0"), error("/leave/2")]));
        let detail = "members: this can't be empty; members: this can't be empty (reference_unknown)";
        assert_eq!((several.status, &*several.detail), (StatusCode::BAD_REQUEST, detail));
    }

    #[test]
    fn who_sent_no_token_is_not_told_of_an_error() {
        let challenge = |code| {
            let response = ScimError::from(Refusal::unauthenticated(code, "no")).into_response();
            response.headers()[header::WWW_AUTHENTICATE].to_str().unwrap().to_owned()
        };
        assert_eq!(challenge("token_missing"), "Bearer realm=\"inopsio\"");
        assert_eq!(challenge("token_expired"), "Bearer realm=\"inopsio\", error=\"invalid_token\"");
    }
}
