//! What sagas that send mail have in common: a step that sends one mail, and retries for a day with the same message id.
//!
//! Such a saga decodes the event that started it ([`decoded`], or [`on_request`] for requested links), writes the text when the mail is sent,
//! from the state at that time, and ends its step with [`send`]. The step has the policies [`PATIENT`] and [`LIMITS`]. A saga that tells
//! somebody of a change of their account has a [`Notice`].

#![deny(missing_docs)]

mod notice;

use std::time::Duration;

use coordinator::{Fault, Limits, Next, Retry, Start, StepContext};
use kernel::{Backoff, DecodeError, Event, Personal, RecordedEvent, Upcast, UserId};
use mailer::{Mail, MailError, Mailer};
use serde::{Deserialize, Serialize};

pub use notice::{Notice, SendNotice, state_before};

/// Mail servers may be unavailable for long: retry for a day, then park the saga for a person.
pub const PATIENT: Retry = Retry {
    attempts: 60,
    backoff: Backoff { first: Duration::from_secs(5), longest: Duration::from_mins(30) },
    park: true,
};

/// The longest validity of a mailed link.
pub const LIMITS: Limits = Limits { attempt: Duration::from_secs(40), whole: Duration::from_hours(7 * 24) };

/// Decodes the event that started a saga.
///
/// # Errors
/// `history_unreadable`.
pub fn decoded<E: Event>(event: &RecordedEvent) -> Result<Upcast<E>, Fault> {
    event.decode().map_err(|error| unreadable(&error))
}

/// The fault of an event that can't be read. It is temporary: a newer program may have written the event, and will read it.
fn unreadable(error: &DecodeError) -> Fault {
    Fault::transient("history_unreadable", error.to_string())
}

/// The parameters of a saga that sends a requested link or code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SendRequest {
    /// The person who asked for it, and who gets it.
    pub user: UserId,
    /// The number of the request, from 1. A later request makes earlier links and codes invalid.
    pub turn: u32,
}

/// Starts a saga for the user of an event, if `turn` returns the number of the request.
///
/// # Errors
/// `history_unreadable`, `user_id`.
pub fn on_request<E: Event>(
    event: RecordedEvent,
    turn: impl FnMut(E) -> Option<u32>,
) -> Result<Option<Start<SendRequest>>, Fault> {
    let Some(turn) = decoded::<E>(&event)?.into_iter().find_map(turn) else { return Ok(None) };
    let user = event.aggregate_id.parse().map_err(|_| Fault::refused("user_id", "the id is no UUID"))?;
    Ok(Some(Start { key: event.aggregate_id, parameters: SendRequest { user, turn } }))
}

/// Sends a mail. All attempts use the same message id, the saga's.
///
/// # Errors
/// `mail_not_taken` is temporary; `mail_refused` is not.
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
        Err(MailError::Transient(reason)) => Err(Fault::transient("mail_not_taken", reason)),
        Err(MailError::Refused(reason)) => Err(Fault::refused("mail_refused", reason)),
    }
}
