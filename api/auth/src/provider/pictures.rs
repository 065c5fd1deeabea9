//! How pictures are answered, which everybody sees.

use kernel::PictureFile;
use poem::Response;
use poem::http::header;

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
