//! Serves people's uploaded pictures to everybody who knows their address, and builds the response for any picture.

use kernel::PictureFile;
use poem::http::header;
use poem::{Request, Response};

use super::browser::unavailable;
use super::visit::agrees;
use super::{Answer, OAuthError, Provider};

/// A short time, for the picture may be removed, or its owner erased.
const FOR_NOW: &str = "public, max-age=300";

/// Serves the picture that a user of a tenant uploaded. It needs no authentication, because applications embed it in their pages: its
/// address can't be guessed.
pub(super) async fn of_a_person(provider: &Provider, request: &Request) -> Answer {
    let named = |name| request.raw_path_param(name).unwrap_or_default();
    let tenant = provider.authority.tenant_named(named("tenant")).await?;
    provider.authority.admits(&tenant)?;
    agrees(request.headers(), &tenant)?;
    let nothing = || OAuthError::not_there("there is no such picture, or it was removed");
    let people = provider.authority.people().ok_or_else(nothing)?;
    let file = people.picture(tenant.id, named("picture")).await.map_err(unavailable)?;
    Ok(answer(file.ok_or_else(nothing)?, FOR_NOW, "cross-origin"))
}

/// The response for a picture. `keep`: the header `Cache-Control`; `within`: the header `Cross-Origin-Resource-Policy`.
pub(super) fn answer(picture: PictureFile, keep: &str, within: &str) -> Response {
    // The gateway's middleware answers conditional requests (`If-None-Match`).
    Response::builder()
        .header(header::CACHE_CONTROL, keep)
        .header(header::ETAG, format!("\"{}\"", picture.sha256))
        // Whatever else the file contains: browsers treat it as a picture only, and if opened on its own it can run nothing.
        .header("x-content-type-options", "nosniff")
        .header("content-security-policy", "default-src 'none'; sandbox")
        .header("cross-origin-resource-policy", within)
        .content_type(picture.format.media_type())
        .body(picture.bytes)
}
