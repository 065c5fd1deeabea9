//! Settings of the client: address, credentials and timeout.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use zeroize::Zeroizing;

/// A text that `Debug` does not show and whose memory is overwritten when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes a text without the white space around it.
    pub fn new(text: &str) -> Self {
        Self(Zeroizing::new(text.trim().to_owned()))
    }

    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The source of a token or of a `secret_id`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The text itself.
    Text(Secret),
    /// A file, which is read for each use because another program (such as Vault's agent) rewrites it.
    File(PathBuf),
}

impl Source {
    /// Reads the current secret. The error says why that is impossible.
    pub(crate) fn read(&self) -> Result<Secret, String> {
        match self {
            Self::Text(text) => Ok(text.clone()),
            Self::File(path) => {
                let text = std::fs::read_to_string(path).map(Zeroizing::new);
                let text = text.map_err(|error| format!("the file {} can't be read: {error}", path.display()))?;
                if text.trim().is_empty() {
                    return Err(format!("the file {} is empty", path.display()));
                }
                Ok(Secret::new(&text))
            }
        }
    }
}

/// How the client gets its token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// The token is given.
    Token(Source),
    /// By an AppRole login.
    AppRole {
        /// The mount of the AppRole auth method, such as `approle`.
        mount: String,
        /// The `role_id`.
        role_id: String,
        /// The `secret_id`, which authenticates us.
        secret_id: Source,
    },
}

/// Settings of a [`Client`](crate::Client).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The server's URL, such as `https://vault.internal:8200`.
    pub address: String,
    /// The namespace, if the server has several.
    pub namespace: Option<String>,
    /// How the client gets its token.
    pub credentials: Credentials,
    /// A PEM file of the certificate authorities to trust; `None`: those of the machine.
    pub ca_file: Option<PathBuf>,
    /// The time limit of a request, retries included.
    pub patience: Duration,
}
