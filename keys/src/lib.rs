//! Secrets at rest, in envelopes: a value is sealed under a data key, the data key is wrapped by the master key.
//!
//! A [`MasterKey`] never leaves its place (this process, or a vault); it wraps and unwraps [`DataKey`]s, one a tenant or a
//! person. A data key seals values ([`Sealed`]) with AES-256-GCM under a fresh nonce. What a value is (tenant, purpose, whose)
//! is its [`Context`]: it is authenticated with it, so that a sealed value moved to another row, tenant or use does not open.
//! To forget all that was sealed under a data key, destroy its wrapped form ([`Wrapped`]). While one master key follows another, a
//! [`Succession`] of both opens what either wrapped.
//!
//! [`RsaKey`] and [`OaepKey`] are beside that: keys of a tenant that sign, or open what others encrypt, and have to be RSA.
//!
//! Nothing here does I/O but asking for randomness ([`Random`]). To add a place where a master key lives, implement
//! [`MasterKey`] where that I/O belongs.

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

/// Why a key does not do its work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A master key's text is not one.
    #[error("a master key is 64 hexadecimal digits")]
    NotAKey,
    /// It was sealed under another key, for another context, or was changed.
    #[error("what is sealed does not open: it is of another key or another use, or was changed")]
    DoesNotOpen,
    /// It was wrapped by another master key.
    #[error(
        "the key was wrapped by the master key {wrapped_by}; this is {ours}: set the other one as auth.former_master_key \
         (INOPSIO_FORMER_MASTER_KEY), and run inopsio key rewrap"
    )]
    OtherMaster {
        /// The name of the one that is needed.
        wrapped_by: String,
        /// The name of the one that is there.
        ours: String,
    },
    /// The system gives no randomness, or the value is too long to be sealed.
    #[error("nothing can be sealed: {0}")]
    CanNotSeal(&'static str),
    /// What should be an RSA key is none, or the system gives no randomness.
    #[error("not an RSA key, or nothing can be signed with it")]
    Rsa,
    /// The place where the master key lives does not answer.
    #[error("the master key can't be asked: {0}")]
    Unavailable(String),
}
