//! Mail that goes nowhere: for a developer to look at.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::BoxFuture;

use crate::{Mail, MailError, Mailer};

/// How many are kept; the oldest goes first.
const KEPT: usize = 200;

/// Keeps mail in memory. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Caught(Arc<Mutex<VecDeque<Mail>>>);

/// A mail that was caught.
pub type CaughtMail = Mail;

impl Caught {
    /// What was caught, the last first.
    pub fn all(&self) -> Vec<CaughtMail> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().rev().cloned().collect()
    }
}

impl Mailer for Caught {
    fn send<'a>(&'a self, mail: &'a Mail) -> BoxFuture<'a, Result<(), MailError>> {
        let mut mails = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // As a mailbox does with a mail that comes twice.
        if mails.iter().all(|caught| caught.id != mail.id) {
            mails.push_back(mail.clone());
        }
        if mails.len() > KEPT {
            mails.pop_front();
        }
        Box::pin(async { Ok(()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail(id: usize) -> Mail {
        let text = || String::from("text").into();
        Mail { id: id.to_string(), to: String::from("ada@example.com").into(), subject: text(), text: text() }
    }

    #[tokio::test]
    async fn the_last_mails_are_kept_each_once() {
        let caught = Caught::default();
        for id in (0..KEPT + 5).chain([KEPT]) {
            caught.send(&mail(id)).await.unwrap();
        }
        let ids: Vec<_> = caught.all().into_iter().map(|mail| mail.id.parse::<usize>().unwrap()).collect();
        assert_eq!(ids, (5..KEPT + 5).rev().collect::<Vec<_>>());
    }

    #[test]
    fn a_mail_shows_nothing_of_whom_it_is_for() {
        assert!(!format!("{:?}", mail(1)).contains("ada"));
    }
}
