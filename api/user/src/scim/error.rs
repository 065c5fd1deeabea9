//! Errors as RFC 7644 section 3.12 has them.

use face::{Denials, Denied};
use kernel::{Kind, Refusal, Versions};
use poem::Response;
use poem::http::{HeaderValue, StatusCode, header};
use serde_json::json;

use super::MEDIA_TYPE;

/// A refusal in the words of SCIM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ScimError {
    pub(super) status: StatusCode,
    /// The error's name of table 9, where it has one.
    pub(super) scim_type: Option<&'static str>,
    pub(super) detail: String,
    /// What the caller may not, if it is that.
    pub(super) denied: Option<Denied>,
}

impl ScimError {
    fn bad(scim_type: &'static str, detail: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, scim_type: Some(scim_type), detail: detail.into(), denied: None }
    }

    /// The body is no JSON, or not of the form that is wanted.
    pub(super) fn syntax(detail: impl Into<String>) -> Self {
        Self::bad("invalidSyntax", detail)
    }

    /// A value is missing, or not allowed.
    pub(super) fn value(detail: impl Into<String>) -> Self {
        Self::bad("invalidValue", detail)
    }

    /// The filter can't be read, or not be answered.
    pub(super) fn filter(detail: impl Into<String>) -> Self {
        Self::bad("invalidFilter", detail)
    }

    /// A path can't be read.
    pub(super) fn path(detail: impl Into<String>) -> Self {
        Self::bad("invalidPath", detail)
    }

    /// A path leads nowhere.
    pub(super) fn no_target(detail: impl Into<String>) -> Self {
        Self::bad("noTarget", detail)
    }

    /// An attribute that nobody writes.
    pub(super) fn mutability(detail: impl Into<String>) -> Self {
        Self::bad("mutability", detail)
    }

    /// More is asked for than is looked through.
    pub(super) fn too_many(detail: impl Into<String>) -> Self {
        Self::bad("tooMany", detail)
    }

    /// It is of another version than `If-Match` names.
    pub(super) fn version_differs(wanted: &Versions, actual: u64) -> Self {
        let detail = format!(
            "If-Match names {wanted}, the current version is {actual}; read it again, then decide (version_differs)"
        );
        Self { status: StatusCode::PRECONDITION_FAILED, scim_type: None, detail, denied: None }
    }

    /// There is no such resource in the tenant.
    pub(super) fn not_found(what: &str, id: &str) -> Self {
        Self {
            status: StatusCode::NOT_FOUND,
            scim_type: None,
            detail: format!("there is no {what} {id}"),
            denied: None,
        }
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
            let challenge = HeaderValue::from_static("Bearer realm=\"inopsio\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        if let Some(denied) = self.denied {
            response.set_data(Denials(vec![denied]));
        }
        response
    }
}

impl From<Refusal> for ScimError {
    fn from(refusal: Refusal) -> Self {
        let mut status = face::status(refusal.kind());
        let errors = refusal.errors().iter().map(|error| format!("; {}: {}", error.pointer, error.detail));
        let detail = std::iter::once(refusal.detail().to_owned()).chain(errors).collect::<String>();
        let scim_type = match refusal.code() {
            "login_taken" | "group_name_taken" | "invited_already" => Some("uniqueness"),
            "reference_unknown" => {
                status = StatusCode::BAD_REQUEST;
                Some("invalidValue")
            }
            _ if refusal.kind() == Kind::Invalid => Some("invalidValue"),
            _ => None,
        };
        Self { status, scim_type, detail: format!("{detail} ({})", refusal.code()), denied: Denied::of(&refusal) }
    }
}
