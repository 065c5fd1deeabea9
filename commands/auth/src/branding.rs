//! What can be asked of how a tenant's pages look.

use std::ops::RangeInclusive;

use auth_aggregates::{Branding, BrandingCommand, LogoSet, MOST_BYTES, Picture, PictureFormat};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use executor::{Command, Work};
use imagesize::{ImageSize, ImageType};
use kernel::{Checks, Refusal};
use sha2::{Digest, Sha256};

/// How wide and how high a logo may be, in pixels.
pub const LOGO_SIDE: RangeInclusive<usize> = 16..=1_024;

/// Says which logo a tenant's pages show: this is all of it.
#[derive(Clone, Debug)]
pub struct SetLogo {
    /// A PNG, JPEG or WebP file, in base64.
    pub light: String,
    /// The same for where all is dark.
    pub dark: Option<String>,
}

/// A tenant's pages show no logo any more.
#[derive(Clone, Copy, Debug)]
pub struct RemoveLogo;

impl Command for SetLogo {
    const PERMISSION: &'static str = "auth:branding:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let mut checks = Checks::default();
        let light = picture(&mut checks, "/light", &self.light);
        let dark = self.dark.as_ref().map(|dark| picture(&mut checks, "/dark", dark));
        checks.finish()?;
        // Without an error there is a picture.
        let (Some(light), dark) = (light, dark.flatten()) else {
            return Err(Refusal::internal("picture_missing", "the picture was not read"));
        };
        let tenant = work.caller().tenant();
        work.upsert::<Branding>(tenant, BrandingCommand::SetLogo(LogoSet { light, dark })).await
    }
}

impl Command for RemoveLogo {
    const PERMISSION: &'static str = "auth:branding:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        let tenant = work.caller().tenant();
        work.upsert::<Branding>(tenant, BrandingCommand::RemoveLogo).await
    }
}

/// A picture as it was sent. What it is, its own bytes say, and nobody else.
fn picture(checks: &mut Checks, pointer: &str, base64: &str) -> Option<Picture> {
    let mut refuse = |code, detail: String| {
        checks.refuse(pointer, code, detail);
        None
    };
    if base64.len() > MOST_BYTES.div_ceil(3) * 4 {
        return refuse("picture_too_large", format!("allowed are {} KiB", MOST_BYTES >> 10));
    }
    let Ok(bytes) = STANDARD.decode(base64) else {
        return refuse("base64", "not a file in base64 (RFC 4648, with padding, without line breaks)".to_owned());
    };
    if bytes.len() > MOST_BYTES {
        return refuse("picture_too_large", format!("{} bytes; allowed are {} KiB", bytes.len(), MOST_BYTES >> 10));
    }
    let Some((format, ImageSize { width, height })) = read(&bytes) else {
        return refuse("picture_format", "not a picture that is shown; allowed are PNG, JPEG and WebP".to_owned());
    };
    let (Ok(wide), Ok(high)) = (u32::try_from(width), u32::try_from(height)) else {
        return refuse("picture_size", "wider or higher than any picture".to_owned());
    };
    if !LOGO_SIDE.contains(&width) || !LOGO_SIDE.contains(&height) {
        let detail = format!("{width} × {height} pixels; allowed are {} to {}", LOGO_SIDE.start(), LOGO_SIDE.end());
        return refuse("picture_size", detail);
    }
    let sha256 = hex::encode(Sha256::digest(&bytes));
    Some(Picture { format, width: wide, height: high, sha256, base64: base64.to_owned() })
}

fn read(bytes: &[u8]) -> Option<(PictureFormat, ImageSize)> {
    let format = match imagesize::image_type(bytes).ok()? {
        // All of its signature, and the header that has to follow.
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
        let picture = picture(&mut checks, "/light", &STANDARD.encode(bytes));
        match checks.into_errors().first() {
            Some(error) => Err(error.code),
            None => Ok(picture.unwrap()),
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
        }
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
        assert!(said(&padded(MOST_BYTES)).is_ok());
        for most in [MOST_BYTES + 1, MOST_BYTES * 20] {
            assert_eq!(said(&padded(most)), Err("picture_too_large"));
        }
        let mut checks = Checks::default();
        picture(&mut checks, "/dark", "data:image/png;base64,iVBO");
        assert_eq!((checks.into_errors()[0].code), "base64");
    }
}
