//! Sends text messages.
//!
//! Callers use a [`TextMessages`]. If a message is not accepted, [`TextError`] says whether the failure may be temporary; a saga's step
//! that texts retries until the message is accepted. [`Twilio`] sends through a provider over HTTP, [`Caught`] keeps messages in memory
//! for developers, [`Unset`] reports that nothing is configured. Each message costs money, and callers choose its receiver. So real
//! sending is always wrapped by [`Limited`], which counts by number, by tenant and by requester.
//!
//! Nothing here logs a number or a text.
//!
//! To add another provider, implement [`TextMessages`].

#![deny(missing_docs)]

mod caught;
mod limited;
mod twilio;

use std::time::Duration;

use futures::future::BoxFuture;
use kernel::{Personal, TenantId};
use uuid::Uuid;

pub use caught::Caught;
pub use limited::Limited;
pub use twilio::{Twilio, TwilioError};

/// A text message to one number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// The id, which is the same when the message is sent again.
    pub id: String,
    /// The tenant that pays for it.
    pub tenant: TenantId,
    /// The user of the tenant who requested it.
    pub asker: Uuid,
    /// The number, E.164.
    pub to: Personal<String>,
    /// The text.
    pub text: Personal<String>,
    /// How long the message is useful.
    pub good_for: Duration,
}

/// A message that was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// A temporary failure.
    #[error("the text message can't be handed over now: {0}")]
    Transient(String),
    /// A permanent failure: the provider refuses the message, or the number does not exist.
    #[error("the text message is refused: {0}")]
    Refused(String),
    /// A limit is reached: for the number, or for the tenant. Which one is only in the process's log. No message is accepted before this
    /// time has passed.
    #[error("too many text messages")]
    TooMany(Duration),
}

/// Sends text messages.
pub trait TextMessages: Send + Sync + 'static {
    /// Sends a message. When this returns `Ok`, the provider has taken responsibility for it.
    ///
    /// # Errors
    /// See [`TextError`]. After [`TextError::Transient`] it is unknown whether the message was accepted.
    fn send<'a>(&'a self, text: &'a Text) -> BoxFuture<'a, Result<(), TextError>>;
}

/// The implementation without configuration: it sends nothing, and returns an error that says so.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unset;

impl TextMessages for Unset {
    fn send<'a>(&'a self, _: &'a Text) -> BoxFuture<'a, Result<(), TextError>> {
        let reason = "texts.url (INOPSIO_TEXTS_URL) is not set".to_owned();
        Box::pin(async move { Err(TextError::Transient(reason)) })
    }
}
