//! Envelope encryption of stored secrets: a value is encrypted under a data key, and the data key is wrapped by the master key.
//!
//! A [`MasterKey`] never leaves its place (this process, or a vault); it wraps and unwraps [`DataKey`]s, one for each tenant or
//! person. A data key encrypts values ([`Sealed`]) with AES-256-GCM under a fresh nonce. The [`Context`] of a value (tenant, purpose,
//! whose) is authenticated with it, so a value that is moved to another row, tenant or use cannot be decrypted. To make everything
//! under a data key unreadable, destroy the wrapped key ([`Wrapped`]). While one master key replaces another, a
//! [`Succession`] of both unwraps what either wrapped.
//!
//! [`RsaKey`] and [`OaepKey`] are keys of a tenant that have to be RSA: for signing, and for decrypting what others encrypt.
//!
//! Nothing here does I/O except asking for randomness ([`Random`]). To keep a master key in another place, implement
//! [`MasterKey`] in the crate that does the I/O (as `vault` does).

#![deny(missing_docs)]

mod context;
mod data_key;
mod master;
mod oaep;
mod random;
mod rsa;
mod sealed;
mod succession;

pub use context::Context;
pub use data_key::DataKey;
pub use master::{Each, LocalMasterKey, MasterKey, rewrap};
pub use oaep::{OaepHash, OaepKey};
pub use random::{Random, SystemRandom};
pub use rsa::RsaKey;
pub use sealed::{Envelope, Enveloped, Sealed, Wrapped};
pub use succession::Succession;

/// Why a key operation failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The text is not a master key.
    #[error("a master key is 64 hexadecimal digits")]
    NotAKey,
    /// The ciphertext belongs to another key or context, or was changed.
    #[error("what is sealed does not open: it is of another key or another use, or was changed")]
    DoesNotOpen,
    /// The key was wrapped by another master key.
    #[error(
        "the key was wrapped by the master key {wrapped_by}; this is {ours}: set the other one as auth.former_master_key \
         (INOPSIO_FORMER_MASTER_KEY), and run inopsio key rewrap"
    )]
    OtherMaster {
        /// The name of the master key that is needed.
        wrapped_by: String,
        /// The name of the master key that is configured.
        ours: String,
    },
    /// There is no randomness, or the value is too long to be encrypted.
    #[error("nothing can be sealed: {0}")]
    CanNotSeal(&'static str),
    /// The bytes are not an RSA key, or there is no randomness.
    #[error("not an RSA key, or nothing can be signed with it")]
    Rsa,
    /// The system that holds the master key does not answer.
    #[error("the master key can't be asked: {0}")]
    Unavailable(String),
}
