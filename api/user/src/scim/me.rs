//! `/Me`: whoever asks, by another name of their resource (RFC 7644 section 3.11). What they may not do to a user they may not do to
//! themselves here; machines, such as a provider, are no users.

use poem::http::StatusCode;

use super::error::ScimError;
use super::visit::Visit;
use super::{Answer, Scim, user};

/// `GET /Me`
pub(super) async fn read(scim: &Scim, visit: Visit) -> Answer {
    user::read(scim, visit.of_oneself()).await
}

/// `POST /Me`: nobody makes themselves a user here.
pub(super) async fn create(_: &Scim, _: Visit) -> Answer {
    Err(ScimError::of(StatusCode::NOT_IMPLEMENTED, "users can't be created at /Me; create them at /Users"))
}

/// `PUT /Me`
pub(super) async fn replace(scim: &Scim, visit: Visit) -> Answer {
    user::replace(scim, visit.of_oneself()).await
}

/// `PATCH /Me`
pub(super) async fn patch(scim: &Scim, visit: Visit) -> Answer {
    user::patch(scim, visit.of_oneself()).await
}

/// `DELETE /Me`
pub(super) async fn remove(scim: &Scim, visit: Visit) -> Answer {
    user::remove(scim, visit.of_oneself()).await
}
