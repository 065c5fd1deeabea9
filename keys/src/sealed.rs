//! Stored forms of encrypted values ([`Sealed`]) and of wrapped keys ([`Wrapped`]).

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

/// A data key at rest, in one of two envelopes: sealed under another data key (`v1.…`), or wrapped by a master key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(transparent)]
pub struct Envelope(String);

/// The kinds of an [`Envelope`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Enveloped {
    /// Sealed under another data key.
    Sealed(Sealed),
    /// Wrapped by a master key.
    Wrapped(Wrapped),
}

const VERSION: &str = "v1.";

impl Sealed {
    pub(crate) fn new(bytes: &[u8]) -> Self {
        Self(format!("{VERSION}{}", URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// The sealed value as text, for another party to store.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Takes a text that another party stored. It is checked only when it is opened.
    pub fn read(text: &str) -> Self {
        Self(text.to_owned())
    }

    pub(crate) fn bytes(&self) -> Result<Vec<u8>, Error> {
        let text = self.0.strip_prefix(VERSION).ok_or(Error::DoesNotOpen)?;
        URL_SAFE_NO_PAD.decode(text).map_err(|_| Error::DoesNotOpen)
    }
}

impl Envelope {
    /// Which kind of envelope it is.
    pub fn kind(&self) -> Enveloped {
        // No master key has the name `v1`.
        if self.0.starts_with(VERSION) {
            Enveloped::Sealed(Sealed(self.0.clone()))
        } else {
            Enveloped::Wrapped(Wrapped(self.0.clone()))
        }
    }
}

impl From<Sealed> for Envelope {
    fn from(sealed: Sealed) -> Self {
        Self(sealed.0)
    }
}

impl From<Wrapped> for Envelope {
    fn from(wrapped: Wrapped) -> Self {
        Self(wrapped.0)
    }
}

impl Wrapped {
    /// Combines the name of a master key and the text of a key that it wrapped. (The name contains no dot.)
    pub fn new(name: &str, text: &str) -> Self {
        Self(format!("{name}.{text}"))
    }

    /// The wrapped key as text, to be stored elsewhere.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Takes a stored text. It is checked only when it is unwrapped.
    pub fn read(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The text of the wrapped key, if the master key `ours` wrapped it.
    ///
    /// # Errors
    /// [`Error::OtherMaster`] if another one did.
    pub fn by(&self, ours: &str) -> Result<&str, Error> {
        match self.0.split_once('.') {
            Some((name, text)) if name == ours => Ok(text),
            _ => Err(Error::OtherMaster { wrapped_by: self.wrapped_by().to_owned(), ours: ours.to_owned() }),
        }
    }

    /// The name of the master key that wrapped it.
    pub fn wrapped_by(&self) -> &str {
        self.0.split_once('.').map_or("", |(name, _)| name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_says_by_its_text_what_it_is() {
        let (sealed, wrapped) = (Sealed::new(b"sealed"), Wrapped::new("transit:transit/inopsio", "vault:v1:AbC+/="));
        assert_eq!(Envelope::from(sealed.clone()).kind(), Enveloped::Sealed(sealed));
        assert_eq!(Envelope::from(wrapped.clone()).kind(), Enveloped::Wrapped(wrapped.clone()));
        assert_eq!(wrapped.wrapped_by(), "transit:transit/inopsio");
        assert_eq!(wrapped.by("transit:transit/inopsio"), Ok("vault:v1:AbC+/="));
    }
}
