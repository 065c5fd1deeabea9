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
    /// The id, which is the same when the mail is sent again: letters, digits and hyphens.
    pub id: String,
    /// The address.
    pub to: Personal<String>,
    /// The subject, one line.
    pub subject: Personal<String>,
    /// The text, plain.
    pub text: Personal<String>,
}

/// A mail that was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MailError {
    /// A temporary failure.
    #[error("the mail can't be handed over now: {0}")]
    Transient(String),
    /// A permanent failure: the server refuses the mail, or the address does not exist.
    #[error("the mail is refused: {0}")]
    Refused(String),
}

/// Sends mail.
pub trait Mailer: Send + Sync + 'static {
    /// Sends a mail. When this returns `Ok`, the server has taken responsibility for it.
    ///
    /// # Errors
    /// See [`MailError`]. After [`MailError::Transient`] it is unknown whether the mail was accepted.
    fn send<'a>(&'a self, mail: &'a Mail) -> BoxFuture<'a, Result<(), MailError>>;
}

/// The mailer without configuration: it sends nothing, and returns an error that says so.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unset;

impl Mailer for Unset {
    fn send<'a>(&'a self, _: &'a Mail) -> BoxFuture<'a, Result<(), MailError>> {
        let reason = "mail.smtp_url (INOPSIO_SMTP_URL) is not set".to_owned();
        Box::pin(async move { Err(MailError::Transient(reason)) })
    }
}
