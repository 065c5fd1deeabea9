//! Sealed values and wrapped keys, as they are stored.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Error;

/// A value sealed under a data key: `v1.` and, in base64url, nonce and ciphertext.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(transparent)]
pub struct Sealed(String);

/// A data key wrapped by a master key: the master key's name, a dot, and what it made of the key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(transparent)]
pub struct Wrapped(String);

const VERSION: &str = "v1.";

impl Sealed {
    pub(crate) fn new(bytes: &[u8]) -> Self {
        Self(format!("{VERSION}{}", URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// The text of it, to be kept by somebody else for a while.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A text that somebody kept, as it is: whether it is ours, opening it says.
    pub fn read(text: &str) -> Self {
        Self(text.to_owned())
    }

    pub(crate) fn bytes(&self) -> Result<Vec<u8>, Error> {
        let text = self.0.strip_prefix(VERSION).ok_or(Error::DoesNotOpen)?;
        URL_SAFE_NO_PAD.decode(text).map_err(|_| Error::DoesNotOpen)
    }
}

impl Wrapped {
    /// What the master key `name` made of a key. (A name has no dot.)
    pub fn new(name: &str, text: &str) -> Self {
        Self(format!("{name}.{text}"))
    }

    /// The text of it, to be kept elsewhere.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A text that was kept, as it is: whether it is ours, unwrapping it says.
    pub fn read(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// What the master key `ours` made of the key.
    ///
    /// # Errors
    /// [`Error::OtherMaster`] when it was another one.
    pub fn by(&self, ours: &str) -> Result<&str, Error> {
        match self.0.split_once('.') {
            Some((name, text)) if name == ours => Ok(text),
            other => Err(Error::OtherMaster {
                wrapped_by: other.map_or_else(String::new, |(name, _)| name.to_owned()),
                ours: ours.to_owned(),
            }),
        }
    }
}
