//! Errors of requests to Vault, with messages that say what an operator can do.

use std::path::PathBuf;

/// A request to Vault failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Vault at {address} {fault}")]
pub struct Error {
    /// The address of the server.
    pub address: String,
    /// The reason.
    pub fault: Fault,
}

impl Error {
    /// Whether the failure is temporary: the same request may succeed later without a change of our settings.
    pub const fn passes(&self) -> bool {
        matches!(self.fault, Fault::Away(_) | Fault::Silent { .. } | Fault::Sealed | Fault::Busy { .. })
    }
}

/// Why a request failed. `asked` is its method and path, such as `POST transit/encrypt/inopsio`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// No connection, or the response is not HTTP.
    #[error("does not answer: {0}")]
    Away(String),
    /// No response in time.
    #[error("does not answer within {seconds} s")]
    Silent {
        /// How long we waited, in seconds.
        seconds: u64,
    },
    /// The server is sealed (it has no key to decrypt its own store), or in maintenance.
    #[error("is sealed or in maintenance (503)")]
    Sealed,
    /// The server can't answer at the moment.
    #[error("can't answer now ({status}){}", quoted(.said))]
    Busy {
        /// The HTTP status.
        status: u16,
        /// Vault's error text.
        said: String,
    },
    /// A redirect, such as a standby sends. It is not followed, because the token is sent only to the configured address.
    #[error(
        "sends to another address ({status}): name that of the active server, or of what stands before all of them"
    )]
    Elsewhere {
        /// The HTTP status.
        status: u16,
    },
    /// The token is valid, but its policy does not allow the request.
    #[error("does not let the token do {asked} (403): its policy lacks that path, or the namespace is another one")]
    Denied {
        /// The request.
        asked: String,
    },
    /// The token is invalid or has expired.
    #[error("does not take the token (403): it has ended, was revoked, or is of another Vault or namespace")]
    TokenRefused,
    /// The AppRole login failed.
    #[error(
        "does not let the role log in at {asked}: vault.role_id or vault.secret_id is none of its own, used up, or has ended"
    )]
    LoginRefused {
        /// The request.
        asked: String,
    },
    /// There is no token.
    #[error("can't be asked: {0}")]
    NoToken(String),
    /// The path does not exist.
    #[error("has nothing at {path} (404){}", quoted(.said))]
    Nothing {
        /// The path.
        path: String,
        /// Vault's error text.
        said: String,
    },
    /// No transit engine is mounted at this path.
    #[error("has no transit engine at {mount}: mount it, or name the right one (transit:<mount>/<key>)")]
    NoMount {
        /// The path of the mount.
        mount: String,
    },
    /// The transit engine has no such key.
    #[error(
        "has no key {key} in the transit engine at {mount}: make it, or name the right one (transit:<mount>/<key>)"
    )]
    NoKey {
        /// The path of the mount.
        mount: String,
        /// The name of the key.
        key: String,
    },
    /// The type of the key is unsuitable for wrapping keys.
    #[error("has a key {key} of the type {kind}; allowed are aes256-gcm96, chacha20-poly1305 and xchacha20-poly1305")]
    Unsuitable {
        /// The name of the key.
        key: String,
        /// The type of the key.
        kind: String,
    },
    /// The request was refused for another reason.
    #[error("refuses {asked} ({status}){}", quoted(.said))]
    Refused {
        /// The request.
        asked: String,
        /// The HTTP status.
        status: u16,
        /// Vault's error text.
        said: String,
    },
    /// The response does not have Vault's form. Its text is not quoted: it might be a secret.
    #[error("does not answer {asked} as Vault does")]
    NotVault {
        /// The request.
        asked: String,
    },
    /// The mount is of another engine, or of KV version 1.
    #[error("does not answer as KV version 2 does; is {mount} such a mount?")]
    NotKv {
        /// The path of the mount.
        mount: String,
    },
}

fn quoted(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(": {text}") }
}

/// Settings with which no client can be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetUpError {
    /// The address is not a URL.
    #[error("the address {0:?} is no URL such as https://vault.internal:8200")]
    Address(String),
    /// The file of certificate authorities can't be used.
    #[error("the authorities in {path} can't be used: {why}", path = .path.display())]
    Authorities {
        /// The path of the file.
        path: PathBuf,
        /// The reason.
        why: String,
    },
}
