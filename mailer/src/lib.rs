//! Sends mail.
//!
//! Callers use a [`Mailer`]. If a mail is not accepted, [`MailError`] says whether the failure may be temporary. The sagas that mail
//! retry until the mail is accepted, with the same [`Mail::id`], by which receivers recognize a repetition. [`Smtp`] sends to a mail
//! server, [`Caught`] keeps mail in memory for developers, [`Unset`] reports that nothing is configured.
//!
//! Nothing here logs an address, a subject or a text.
//!
//! To add another way of sending, implement [`Mailer`].

#![deny(missing_docs)]

mod caught;
mod smtp;

use futures::future::BoxFuture;
use kernel::Personal;

pub use caught::{Caught, CaughtMail};
pub use smtp::{Smtp, SmtpError};

/// A mail to one person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// What makes it the same mail when it is sent again: letters, digits and hyphens.
    pub id: String,
    /// Where it goes.
    pub to: Personal<String>,
    /// What it is about, one line.
    pub subject: Personal<String>,
    /// What it says, plain text.
    pub text: Personal<String>,
}

/// A mail that was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MailError {
    /// It may be taken later.
    #[error("the mail can't be handed over now: {0}")]
    Passing(String),
    /// It will never be taken: the server refuses it, or there is no such address.
    #[error("the mail is refused: {0}")]
    Refused(String),
}

/// Sends mail.
pub trait Mailer: Send + Sync + 'static {
    /// Hands a mail over. When this returns, somebody else looks after it.
    ///
    /// # Errors
    /// See [`MailError`]. After [`MailError::Passing`] it is not known whether it was taken.
    fn send<'a>(&'a self, mail: &'a Mail) -> BoxFuture<'a, Result<(), MailError>>;
}

/// No mail is configured: nothing is sent, and whoever wants to is told so.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unset;

impl Mailer for Unset {
    fn send<'a>(&'a self, _: &'a Mail) -> BoxFuture<'a, Result<(), MailError>> {
        let reason = "mail.smtp_url (INOPSIO_SMTP_URL) is not set".to_owned();
        Box::pin(async move { Err(MailError::Passing(reason)) })
    }
}
