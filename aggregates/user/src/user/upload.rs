//! The picture that a user uploads.

use chrono::TimeDelta;
use kernel::{Personal, Picture};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How many pictures a user may have within which time, whoever uploads them: each stays in the history, with its file.
pub(super) const LIMITS: [(usize, TimeDelta); 1] = [(20, TimeDelta::days(1))];

/// A picture that was uploaded. All of it tells who somebody is, also its hash: whoever has the picture sees by that whose it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UploadedPicture {
    /// Its own id, in its address, which everybody may ask for: at least 128 bits that nobody foresees, base64url.
    pub id: String,
    /// The picture.
    pub picture: Picture,
}

/// What is kept of it beside the history: the file stands in the event alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upload {
    /// The picture's own id.
    pub id: String,
    /// SHA-256 of its bytes, in hexadecimal digits.
    pub sha256: String,
}

impl Upload {
    /// What is kept of a picture; of one that nobody can open any more, that there was one.
    pub(super) fn of(uploaded: &Personal<UploadedPicture>) -> Personal<Self> {
        let kept = |uploaded: &UploadedPicture| {
            let UploadedPicture { id, picture } = uploaded;
            Personal::new(Self { id: id.clone(), sha256: picture.sha256.clone() })
        };
        uploaded.known().map_or_else(Personal::forgotten, kept)
    }
}
