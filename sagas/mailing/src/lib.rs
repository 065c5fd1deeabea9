//! What sagas that mail have in common: one step that hands a mail over, tried for a day, always as the same mail.
//!
//! A saga that mails decodes what started it ([`decoded`]), makes the mail's text when it is to be sent, from what is true then,
//! and ends its step with [`send`], under [`PATIENT`] and [`LIMITS`].

#![deny(missing_docs)]

use std::time::Duration;

use coordinator::{Doing, Fault, Limits, Next, Retry};
use kernel::{Event, Personal, RecordedEvent, Upcast};
use mailer::{Mail, MailError, Mailer};

/// A mail server may be away for long: the mail is tried for a day, and then a person says whether it goes on.
pub const PATIENT: Retry =
    Retry { attempts: 60, first: Duration::from_secs(5), longest: Duration::from_mins(30), park: true };

/// As long as a link may be good.
pub const LIMITS: Limits = Limits { attempt: Duration::from_secs(40), whole: Duration::from_hours(7 * 24) };

/// What started a saga.
///
/// # Errors
/// `history_unreadable`.
pub fn decoded<E: Event>(event: &RecordedEvent) -> Result<Upcast<E>, Fault> {
    event.decode().map_err(|error| Fault::refused("history_unreadable", error.to_string()))
}

/// Hands a mail over. Sent again it is the same mail.
///
/// # Errors
/// `mail_not_taken` may pass; `mail_refused` does not.
pub async fn send(
    mailer: &dyn Mailer,
    doing: &Doing,
    to: &Personal<String>,
    subject: &str,
    text: String,
) -> Result<Next, Fault> {
    let mail =
        Mail { id: doing.saga_id().to_string(), to: to.clone(), subject: subject.to_owned().into(), text: text.into() };
    match mailer.send(&mail).await {
        Ok(()) => Ok(Next::done()),
        Err(MailError::Passing(reason)) => Err(Fault::passing("mail_not_taken", reason)),
        Err(MailError::Refused(reason)) => Err(Fault::refused("mail_refused", reason)),
    }
}
