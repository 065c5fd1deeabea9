//! The common part of sagas that send mail: one step that sends a mail, retried for a day, always as the same mail.
//!
//! A saga that mails decodes the event that started it ([`decoded`]; [`asked`] for requested links), writes the mail's text when
//! it is to be sent, from what is true then, and ends its step with [`send`], under [`PATIENT`] and [`LIMITS`].

#![deny(missing_docs)]

use std::time::Duration;

use coordinator::{Fault, Limits, Next, Retry, Start, StepContext};
use kernel::{Event, Personal, RecordedEvent, Upcast, UserId};
use mailer::{Mail, MailError, Mailer};
use serde::{Deserialize, Serialize};

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

/// A link or a code for which somebody asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// Whose it is, and to whom it goes.
    pub user: UserId,
    /// Which of all that they asked for, from 1: an earlier one is worth nothing.
    pub turn: u32,
}

/// Begins a saga for whom an event is about, if it says that they asked for something: its turn.
///
/// # Errors
/// `history_unreadable`, `user_id`.
pub fn asked<E: Event>(
    event: RecordedEvent,
    turn: impl FnMut(E) -> Option<u32>,
) -> Result<Option<Start<Asked>>, Fault> {
    let Some(turn) = decoded::<E>(&event)?.into_iter().find_map(turn) else { return Ok(None) };
    let user = event.aggregate_id.parse().map_err(|_| Fault::refused("user_id", "the id is no UUID"))?;
    Ok(Some(Start { key: event.aggregate_id, parameters: Asked { user, turn } }))
}

/// Hands a mail over. Sent again it is the same mail.
///
/// # Errors
/// `mail_not_taken` may pass; `mail_refused` does not.
pub async fn send(
    mailer: &dyn Mailer,
    context: &StepContext,
    to: &Personal<String>,
    subject: &str,
    text: String,
) -> Result<Next, Fault> {
    let mail = Mail {
        id: context.saga_id().to_string(),
        to: to.clone(),
        subject: subject.to_owned().into(),
        text: text.into(),
    };
    match mailer.send(&mail).await {
        Ok(()) => Ok(Next::done()),
        Err(MailError::Passing(reason)) => Err(Fault::passing("mail_not_taken", reason)),
        Err(MailError::Refused(reason)) => Err(Fault::refused("mail_refused", reason)),
    }
}
