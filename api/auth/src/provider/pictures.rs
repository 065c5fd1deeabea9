//! Pictures, which everybody sees who knows where they are: those that people uploaded, and how any is answered.

use kernel::PictureFile;
use poem::http::header;
use poem::{Request, Response};

use super::browser::unavailable;
use super::visit::agrees;
use super::{Answer, OAuthError, Provider};

/// It may be taken away, and whose it is may be erased: nobody keeps it for long.
const FOR_NOW: &str = "public, max-age=300";

/// The picture that somebody of a tenant uploaded. Who asks for it is asked for nothing, as it stands in applications' pages: they know its
/// address, which nobody guesses.
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

/// A picture, for others to keep as `keep` says (`Cache-Control`), within pages of whoever `within` says (`Cross-Origin-Resource-Policy`).
pub(super) fn answer(picture: PictureFile, keep: &str, within: &str) -> Response {
    // The front answers whoever has it already.
    Response::builder()
        .header(header::CACHE_CONTROL, keep)
        .header(header::ETAG, format!("\"{}\"", picture.sha256))
        // Whatever else somebody may have put into the file: it is a picture, and opened by itself it can do nothing.
        .header("x-content-type-options", "nosniff")
        .header("content-security-policy", "default-src 'none'; sandbox")
        .header("cross-origin-resource-policy", within)
        .content_type(picture.format.media_type())
        .body(picture.bytes)
}
