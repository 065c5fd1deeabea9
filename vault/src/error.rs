//! What can be wrong with Vault, said so that a person can mend it.

use std::path::PathBuf;

/// Vault did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Vault at {address} {fault}")]
pub struct Error {
    /// Where it is.
    pub address: String,
    /// What is wrong.
    pub fault: Fault,
}

impl Error {
    /// Whether the same may be answered in a while, without anybody doing anything to our settings.
    pub const fn passes(&self) -> bool {
        matches!(self.fault, Fault::Away(_) | Fault::Silent { .. } | Fault::Sealed | Fault::Busy { .. })
    }
}

/// What is wrong. `asked`: method and path, such as `POST transit/encrypt/inopsio`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// No connection, or no answer that is HTTP.
    #[error("does not answer: {0}")]
    Away(String),
    /// Too slow.
    #[error("does not answer within {seconds} s")]
    Silent {
        /// How long was waited.
        seconds: u64,
    },
    /// It has no key to open its own store.
    #[error("is sealed or in maintenance (503)")]
    Sealed,
    /// It can't now.
    #[error("can't answer now ({status}){}", quoted(.said))]
    Busy {
        /// The status of HTTP.
        status: u16,
        /// What it said.
        said: String,
    },
    /// A standby that sends others elsewhere: a token is sent to the named address only.
    #[error(
        "sends to another address ({status}): name that of the active server, or of what stands before all of them"
    )]
    Elsewhere {
        /// The status of HTTP.
        status: u16,
    },
    /// The token is good, and may not do it.
    #[error("does not let the token do {asked} (403): its policy lacks that path, or the namespace is another one")]
    Denied {
        /// What was asked.
        asked: String,
    },
    /// The token is none, or none any more.
    #[error("does not take the token (403): it has ended, was revoked, or is of another Vault or namespace")]
    TokenRefused,
    /// The role can't log in.
    #[error(
        "does not let the role log in at {asked}: vault.role_id or vault.secret_id is none of its own, used up, or has ended"
    )]
    LoginRefused {
        /// What was asked.
        asked: String,
    },
    /// There is no token to ask with.
    #[error("can't be asked: {0}")]
    NoToken(String),
    /// Nothing there.
    #[error("has nothing at {path} (404){}", quoted(.said))]
    Nothing {
        /// Where.
        path: String,
        /// What it said.
        said: String,
    },
    /// No engine is mounted there.
    #[error("has no transit engine at {mount}: mount it, or name the right one (transit:<mount>/<key>)")]
    NoMount {
        /// Where.
        mount: String,
    },
    /// The engine has no such key.
    #[error(
        "has no key {key} in the transit engine at {mount}: make it, or name the right one (transit:<mount>/<key>)"
    )]
    NoKey {
        /// Where.
        mount: String,
        /// Which.
        key: String,
    },
    /// The key is of a sort that can't wrap keys.
    #[error("has a key {key} of the type {kind}; allowed are aes256-gcm96, chacha20-poly1305 and xchacha20-poly1305")]
    Unsuitable {
        /// Which.
        key: String,
        /// Of which type it is.
        kind: String,
    },
    /// It said no for another reason.
    #[error("refuses {asked} ({status}){}", quoted(.said))]
    Refused {
        /// What was asked.
        asked: String,
        /// The status of HTTP.
        status: u16,
        /// What it said.
        said: String,
    },
    /// An answer that is none of Vault's. What it said is not repeated: it might be a secret.
    #[error("does not answer {asked} as Vault does")]
    NotVault {
        /// What was asked.
        asked: String,
    },
    /// A mount of another engine, or of KV version 1.
    #[error("does not answer as KV version 2 does; is {mount} such a mount?")]
    NotKv {
        /// Where.
        mount: String,
    },
}

fn quoted(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(": {text}") }
}

/// Settings with which nobody can be asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetUpError {
    /// The address is no URL.
    #[error("the address {0:?} is no URL such as https://vault.internal:8200")]
    Address(String),
    /// The file of authorities.
    #[error("the authorities in {path} can't be used: {why}", path = .path.display())]
    Authorities {
        /// Which file.
        path: PathBuf,
        /// Why not.
        why: String,
    },
}
