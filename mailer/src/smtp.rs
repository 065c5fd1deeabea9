//! Sending mail by SMTP.

use std::time::Duration;

use futures::future::BoxFuture;
use lettre::message::Mailbox;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::transport::smtp;
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};

use crate::{Mail, MailError, Mailer};

/// The time limit of the server's answer.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Sends mail through a mail server. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Smtp {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

/// Invalid settings of the mail server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SmtpError {
    /// The URL is invalid.
    #[error(
        "mail.smtp_url (INOPSIO_SMTP_URL) can't be used: {0}; allowed are smtp://, smtps:// and smtp://…?tls=required"
    )]
    Url(String),
    /// The sender's address is invalid.
    #[error("mail.from (INOPSIO_MAIL_FROM) is {0:?}; allowed is an address like Inopsio <no-reply@example.com>")]
    From(String),
}

impl Smtp {
    /// Sends through the server at this URL: `smtps://user:password@host:465`, or `smtp://host:587?tls=required`.
    ///
    /// # Errors
    /// The URL or the sender is invalid. Does not connect yet.
    pub fn new(url: &str, from: &str) -> Result<Self, SmtpError> {
        // The error of lettre may contain the URL with the password, so it is not shown.
        let builder = AsyncSmtpTransport::<Tokio1Executor>::from_url(url)
            .map_err(|_| SmtpError::Url("it is not such a URL".to_owned()))?;
        let from = from.parse().map_err(|_| SmtpError::From(from.to_owned()))?;
        Ok(Self { transport: builder.timeout(Some(TIMEOUT)).build(), from })
    }

    fn message(&self, mail: &Mail) -> Result<Message, MailError> {
        let refused = |what: &str| MailError::Refused(format!("{what} can't stand in a mail"));
        let to = mail.to.reveal().parse().map_err(|_| refused("the address"))?;
        Message::builder()
            .message_id(Some(format!("<{}@{}>", mail.id, self.from.email.domain())))
            .from(self.from.clone())
            .to(Mailbox::new(None, to))
            .subject(mail.subject.reveal().as_str())
            .header(ContentType::TEXT_PLAIN)
            // Stops out-of-office replies to a mail that no person wrote (RFC 3834, section 5).
            .raw_header(HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned()))
            .body(mail.text.reveal().clone())
            .map_err(|_| refused("the text"))
    }
}

impl Mailer for Smtp {
    fn send<'a>(&'a self, mail: &'a Mail) -> BoxFuture<'a, Result<(), MailError>> {
        Box::pin(async move {
            let message = self.message(mail)?;
            self.transport.send(message).await.map(drop).map_err(|error| failed(&error))
        })
    }
}

/// Answers of a server that rejects the login or requires TLS (RFC 4954, RFC 3207). The settings are wrong, not the mail.
const NOT_LET_IN: [u16; 4] = [530, 534, 535, 538];

/// Converts the server's answer. Its text may quote the address, so only its code is used.
fn failed(error: &smtp::Error) -> MailError {
    match error.status() {
        Some(code) if NOT_LET_IN.contains(&u16::from(code)) => {
            tracing::warn!(%code, "the mail server does not let us in: see user, password and TLS of INOPSIO_SMTP_URL");
            MailError::Transient(format!("the mail server does not let us in: it answers {code}"))
        }
        Some(code) if error.is_permanent() => MailError::Refused(format!("the mail server answers {code}")),
        Some(code) => MailError::Transient(format!("the mail server answers {code}")),
        None if error.is_timeout() => MailError::Transient("the mail server takes too long".to_owned()),
        None => {
            tracing::warn!("the mail server can't be reached");
            MailError::Transient("the mail server can't be reached".to_owned())
        }
    }
}
