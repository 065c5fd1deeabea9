//! The picture that a user uploads.

use chrono::TimeDelta;
use kernel::{Personal, Picture};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Limits on a user's uploads, whoever makes them: the number per period. Each picture stays in the history, with its file.
pub(super) const LIMITS: [(usize, TimeDelta); 1] = [(20, TimeDelta::days(1))];

/// An uploaded picture. All of it is personal data, even its hash: whoever has the picture could tell by the hash whose it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UploadedPicture {
    /// Id in the picture's public address: at least 128 unpredictable bits, base64url-encoded.
    pub id: String,
    /// The picture.
    pub picture: Picture,
}

/// The part of an upload that the state keeps. The file is only in the event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upload {
    /// The picture's own id.
    pub id: String,
    /// SHA-256 of its bytes, in hexadecimal digits.
    pub sha256: String,
}

impl Upload {
    /// Converts an upload. If the picture can't be decrypted any more, only the fact that there was one is kept.
    pub(super) fn of(uploaded: &Personal<UploadedPicture>) -> Personal<Self> {
        let kept = |uploaded: &UploadedPicture| {
            let UploadedPicture { id, picture } = uploaded;
            Personal::new(Self { id: id.clone(), sha256: picture.sha256.clone() })
        };
        uploaded.known().map_or_else(Personal::forgotten, kept)
    }
}
