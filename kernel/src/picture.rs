//! Uploaded pictures: the logo of a tenant, the picture of a person.
//!
//! A request contains the picture as a base64 text; [`Picture::check`] validates it and makes the [`Picture`] that is stored. The event
//! itself contains the file, unchanged: it is small ([`Picture::MOST_BYTES`]), and this way the history, backups and a move of the tenant
//! include it.

use std::ops::RangeInclusive;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use imagesize::{ImageSize, ImageType};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{Checks, TenantId};

/// The format of a picture. Formats that can contain scripts (SVG) are not allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PictureFormat {
    /// Portable Network Graphics.
    #[default]
    Png,
    /// JPEG.
    Jpeg,
    /// WebP.
    Webp,
}

impl PictureFormat {
    /// All formats.
    pub const ALL: [Self; 3] = [Self::Png, Self::Jpeg, Self::Webp];

    /// Its media type.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::Webp => "image/webp",
        }
    }
}

/// A picture.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Picture {
    /// The format of the picture.
    pub format: PictureFormat,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// SHA-256 of the picture's bytes, in hexadecimal digits.
    pub sha256: String,
    /// The picture's bytes, in base64.
    pub base64: String,
}

impl std::fmt::Debug for Picture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Picture({:?} {}×{} {})", self.format, self.width, self.height, self.sha256)
    }
}

impl Picture {
    /// The largest picture, in bytes. An event can hold two of this size in base64, or one that is sealed.
    pub const MOST_BYTES: usize = 64 << 10;
    /// The longest base64 text of a picture, in characters.
    pub const MOST_CHARACTERS: usize = Self::MOST_BYTES.div_ceil(3) * 4;
    /// The allowed width and height, in pixels.
    pub const SIDE: RangeInclusive<usize> = 16..=1_024;

    /// Validates a picture as it was sent: a PNG, JPEG or WebP file in base64. The format is detected from the file's own bytes. An error
    /// is added at `pointer`, and gives an empty picture.
    pub fn check(checks: &mut Checks, pointer: &str, base64: &str) -> Self {
        let mut refuse = |code, detail: String| {
            checks.refuse(pointer, code, detail);
            Self::default()
        };
        if base64.len() > Self::MOST_CHARACTERS {
            return refuse("picture_too_large", format!("allowed are {} KiB", Self::MOST_BYTES >> 10));
        }
        let Ok(bytes) = STANDARD.decode(base64) else {
            return refuse("base64", "not a file in base64 (RFC 4648, with padding, without line breaks)".to_owned());
        };
        if bytes.len() > Self::MOST_BYTES {
            let detail = format!("{} bytes; allowed are {} KiB", bytes.len(), Self::MOST_BYTES >> 10);
            return refuse("picture_too_large", detail);
        }
        let Some((format, ImageSize { width, height })) = read(&bytes) else {
            return refuse("picture_format", "not a supported picture; allowed are PNG, JPEG and WebP".to_owned());
        };
        let (Ok(wide), Ok(high)) = (u32::try_from(width), u32::try_from(height)) else {
            return refuse("picture_size", "wider or higher than any picture".to_owned());
        };
        if !Self::SIDE.contains(&width) || !Self::SIDE.contains(&height) {
            let (least, most) = (Self::SIDE.start(), Self::SIDE.end());
            return refuse("picture_size", format!("{width} × {height} pixels; allowed are {least} to {most}"));
        }
        let sha256 = hex::encode(Sha256::digest(&bytes));
        Self { format, width: wide, height: high, sha256, base64: base64.to_owned() }
    }

    /// The decoded file; `None`: the picture is empty or unreadable, for instance because the person was erased.
    pub fn file(&self) -> Option<PictureFile> {
        let bytes = STANDARD.decode(&self.base64).ok().filter(|bytes| !bytes.is_empty())?;
        Some(PictureFile { format: self.format, sha256: self.sha256.clone(), bytes })
    }
}

/// The file of a picture, as it is served.
#[derive(Clone, PartialEq, Eq)]
pub struct PictureFile {
    /// The format of the picture.
    pub format: PictureFormat,
    /// SHA-256 of its bytes, in hexadecimal digits.
    pub sha256: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl std::fmt::Debug for PictureFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PictureFile({:?} {} bytes {})", self.format, self.bytes.len(), self.sha256)
    }
}

/// The URL of a picture that somebody of this tenant uploaded. `public_url` is our public base URL, without a slash at the end.
pub fn picture_address(public_url: &str, tenant: TenantId, picture: &str) -> String {
    format!("{public_url}/t/{tenant}/pictures/{picture}")
}

/// Whether this is the URL of a picture that somebody of this tenant uploaded (or was before its removal), whatever its host name.
pub fn is_picture_address(tenant: TenantId, address: &str) -> bool {
    let here = picture_address("", tenant, "");
    address.trim().rsplit_once(here.as_str()).is_some_and(|(_, id)| is_picture_id(id))
}

/// Whether a text is allowed as the id of an uploaded picture: base64url.
pub fn is_picture_id(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

fn read(bytes: &[u8]) -> Option<(PictureFormat, ImageSize)> {
    let format = match imagesize::image_type(bytes).ok()? {
        // The complete PNG signature, and the IHDR chunk that has to follow it.
        ImageType::Png if bytes.starts_with(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR") => PictureFormat::Png,
        ImageType::Jpeg => PictureFormat::Jpeg,
        ImageType::Webp => PictureFormat::Webp,
        _ => return None,
    };
    Some((format, imagesize::blob_size(bytes).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn png(width: u32, height: u32) -> Vec<u8> {
        let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
        bytes.extend(width.to_be_bytes());
        bytes.extend(height.to_be_bytes());
        bytes.extend([8, 6, 0, 0, 0]);
        bytes
    }

    fn said(bytes: &[u8]) -> Result<Picture, &'static str> {
        let mut checks = Checks::default();
        let picture = Picture::check(&mut checks, "/light", &STANDARD.encode(bytes));
        match checks.into_errors().first() {
            Some(error) => Err(error.code),
            None => Ok(picture),
        }
    }

    #[test]
    fn a_picture_is_what_its_bytes_say() {
        let jpeg = [&[0xff, 0xd8, 0xff, 0xc0, 0, 17, 8, 0, 40, 0, 60][..], &[0; 20]].concat();
        let webp = b"RIFF\x1a\0\0\0WEBPVP8L\x0d\0\0\0\x2f\x3f\xc0\x07\0\0\0\0\0\0".to_vec();
        for (bytes, format, width, height) in [
            (png(200, 50), PictureFormat::Png, 200, 50),
            (jpeg, PictureFormat::Jpeg, 60, 40),
            (webp, PictureFormat::Webp, 64, 32),
        ] {
            let picture = said(&bytes).unwrap();
            assert_eq!((picture.format, picture.width, picture.height), (format, width, height));
            assert_eq!(picture.sha256.len(), 64);
            assert_eq!(picture.file().unwrap().bytes, bytes);
        }
        assert_eq!(Picture::default().file(), None);
    }

    #[test]
    fn the_address_of_an_upload_is_known_by_its_tenant_whatever_we_are_called() {
        #[expect(clippy::disallowed_methods, reason = "a test's tenants")]
        let [ours, theirs] = [1, 2].map(|id| TenantId::vouched(uuid::Uuid::from_u128(id)));
        for called in ["https://api.example.com", "http://127.0.0.1:8080", ""] {
            let at = picture_address(called, ours, "q83vEjRW-_");
            assert!(is_picture_address(ours, &at) && is_picture_address(ours, &format!(" {at} ")), "{at}");
            assert!(!is_picture_address(theirs, &at), "{at}");
            for beside in ["/", "?size=64", "#/", "%00", " x", "ä"] {
                assert!(!is_picture_address(ours, &format!("{at}{beside}")), "{at}{beside}");
            }
        }
        assert!(!is_picture_address(ours, &picture_address("https://api.example.com", ours, "")));
        assert!(!is_picture_address(ours, "https://example.com/pictures/q83vEjRW"));
    }

    #[test]
    fn what_is_no_picture_too_large_or_a_script_is_refused() {
        let svg = b"<svg xmlns=\"http://www.w3.org/2000/svg\"><script>alert(1)</script></svg>";
        let gif = b"GIF89a\x40\0\x40\0\0\0\0;";
        let html = b"<!doctype html><script>alert(1)</script>";
        let half = b"\x89PNG<script>alert(1)</script>";
        for bytes in [&svg[..], gif, html, half, b"", b"\xff\xd8\xff", b"RIFF\0\0\0\0WEBP"] {
            assert_eq!(said(bytes), Err("picture_format"), "{bytes:?}");
        }
        for (width, height) in [(15, 100), (100, 15), (1_025, 100), (100, u32::MAX), (0, 0)] {
            assert_eq!(said(&png(width, height)), Err("picture_size"), "{width} {height}");
        }
        let padded = |most| [png(64, 64), vec![0; most]].concat()[..most].to_vec();
        assert!(said(&padded(Picture::MOST_BYTES)).is_ok());
        for most in [Picture::MOST_BYTES + 1, Picture::MOST_BYTES * 20] {
            assert_eq!(said(&padded(most)), Err("picture_too_large"));
        }
        let mut checks = Checks::default();
        let none = Picture::check(&mut checks, "/dark", "data:image/png;base64,iVBO");
        assert_eq!((checks.into_errors()[0].code, none), ("base64", Picture::default()));
    }
}
