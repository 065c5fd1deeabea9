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
    /// What makes it the same message when it is sent again.
    pub id: String,
    /// On whose account it goes.
    pub tenant: TenantId,
    /// Who of the tenant asked for it.
    pub asker: Uuid,
    /// The number, E.164.
    pub to: Personal<String>,
    /// What it says.
    pub text: Personal<String>,
    /// How long it is worth anything.
    pub good_for: Duration,
}

/// A message that was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// It may be taken later.
    #[error("the text message can't be handed over now: {0}")]
    Passing(String),
    /// It will never be taken: the provider refuses it, or there is no such number.
    #[error("the text message is refused: {0}")]
    Refused(String),
    /// Too many went to this number, or out for this tenant: which of them, only the log of the process says. Nothing will go out sooner than
    /// after this time.
    #[error("too many text messages")]
    TooMany(Duration),
}

/// Sends text messages.
pub trait TextMessages: Send + Sync + 'static {
    /// Hands a message over. When this returns, somebody else looks after it.
    ///
    /// # Errors
    /// See [`TextError`]. After [`TextError::Passing`] it is not known whether it was taken.
    fn send<'a>(&'a self, text: &'a Text) -> BoxFuture<'a, Result<(), TextError>>;
}

/// No provider is configured: nothing is sent, and whoever wants to is told so.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unset;

impl TextMessages for Unset {
    fn send<'a>(&'a self, _: &'a Text) -> BoxFuture<'a, Result<(), TextError>> {
        let reason = "texts.url (INOPSIO_TEXTS_URL) is not set".to_owned();
        Box::pin(async move { Err(TextError::Passing(reason)) })
    }
}
