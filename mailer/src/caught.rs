//! A mailer for development: it keeps mail in memory instead of sending it.

use futures::future::BoxFuture;
use kernel::Recent;

use crate::{Mail, MailError, Mailer};

/// Keeps the last mails in memory. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Caught(Recent<Mail>);

/// A mail that was caught.
pub type CaughtMail = Mail;

impl Caught {
    /// The kept mails, newest first.
    pub fn all(&self) -> Vec<CaughtMail> {
        self.0.all()
    }
}

impl Mailer for Caught {
    fn send<'a>(&'a self, mail: &'a Mail) -> BoxFuture<'a, Result<(), MailError>> {
        // A mail with the same id as a kept one is dropped, as mailboxes do with repeated mails.
        self.0.keep(mail, |caught| caught.id == mail.id);
        Box::pin(async { Ok(()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail(id: &str) -> Mail {
        let text = || String::from("text").into();
        Mail { id: id.to_owned(), to: String::from("ada@example.com").into(), subject: text(), text: text() }
    }

    #[tokio::test]
    async fn a_mail_that_comes_twice_is_there_once_and_shows_nothing_of_whom_it_is_for() {
        let caught = Caught::default();
        for id in ["first", "second", "first"] {
            caught.send(&mail(id)).await.unwrap();
        }
        let ids: Vec<_> = caught.all().into_iter().map(|mail| mail.id).collect();
        assert_eq!(ids, ["second", "first"]);
        assert!(!format!("{caught:?}").contains("ada"));
    }
}
