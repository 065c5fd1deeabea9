//! `/Me`: an alias of the caller's own user resource (RFC 7644 section 3.11). It needs the same permissions as `/Users/{id}`. Machines,
//! such as a provider, are not users and have no such resource.

use poem::http::StatusCode;

use super::error::ScimError;
use super::request::ScimRequest;
use super::{Answer, Scim, user};

/// `GET /Me`
pub(super) async fn read(scim: &Scim, incoming: ScimRequest) -> Answer {
    user::read(scim, incoming.for_caller()).await
}

/// `POST /Me`: not supported, as nobody can create their own user here.
pub(super) async fn create(_: &Scim, _: ScimRequest) -> Answer {
    Err(ScimError::of(StatusCode::NOT_IMPLEMENTED, "users can't be created at /Me; create them at /Users"))
}

/// `PUT /Me`
pub(super) async fn replace(scim: &Scim, incoming: ScimRequest) -> Answer {
    user::replace(scim, incoming.for_caller()).await
}

/// `PATCH /Me`
pub(super) async fn patch(scim: &Scim, incoming: ScimRequest) -> Answer {
    user::patch(scim, incoming.for_caller()).await
}

/// `DELETE /Me`
pub(super) async fn remove(scim: &Scim, incoming: ScimRequest) -> Answer {
    user::remove(scim, incoming.for_caller()).await
}
