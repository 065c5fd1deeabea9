//! Where Vault is, and how a token is got.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use zeroize::Zeroizing;

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// This text, without white space around it.
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

/// Where a secret comes from that Vault wants of us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// It was given.
    Text(Secret),
    /// It stands in a file, which is read each time: somebody else (Vault's agent, for one) writes it anew.
    File(PathBuf),
}

impl Source {
    /// The secret as it is now, or why it can't be had.
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

/// How a token is got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// There is one.
    Token(Source),
    /// A role logs in (AppRole).
    AppRole {
        /// Where that way to log in is mounted: `approle`.
        mount: String,
        /// Which role.
        role_id: String,
        /// What shows that it is us.
        secret_id: Source,
    },
}

/// Where Vault is, and how it is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Its URL, such as `https://vault.internal:8200`.
    pub address: String,
    /// The namespace, where it has several.
    pub namespace: Option<String>,
    /// How a token is got.
    pub credentials: Credentials,
    /// The authorities by whom its certificate may be signed, PEM; none: those of the machine.
    pub ca_file: Option<PathBuf>,
    /// How long a question may take, its repetitions included.
    pub patience: Duration,
}
