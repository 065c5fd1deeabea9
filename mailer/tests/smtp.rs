//! Mail by SMTP, to servers that accept it, and to servers that do not.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use mailer::{Mail, MailError, Mailer, Smtp, SmtpError, Unset};
use testbed::MailServer;

fn mail(to: &str) -> Mail {
    Mail {
        id: "0197a8a0-1".to_owned(),
        to: to.to_owned().into(),
        subject: "Grüße aus Köln".to_owned().into(),
        text: "Hello,\n\n.a line that begins with a dot\nhttps://example.com/?link=abc\n".to_owned().into(),
    }
}

fn smtp(server: &MailServer) -> Smtp {
    Smtp::new(&server.url(), "Inopsio <no-reply@inopsio.example>").unwrap()
}

#[tokio::test]
async fn a_mail_comes_as_it_was_sent() {
    let server = MailServer::start().await;
    smtp(&server).send(&mail("ada@example.com")).await.unwrap();
    let [got] = &server.mails()[..] else { panic!("{:?}", server.mails()) };
    assert_eq!((got.from.as_str(), got.to.as_str()), ("no-reply@inopsio.example", "ada@example.com"));
    assert!(got.data.contains("Message-ID: <0197a8a0-1@inopsio.example>"), "{}", got.data);
    assert!(got.data.contains("Subject: =?utf-8?b?"), "{}", got.data);
    assert!(got.data.contains("\r\nAuto-Submitted: auto-generated\r\n"), "{}", got.data);
    assert!(got.data.contains("\r\n.a line that begins with a dot\r\n"), "{}", got.data);
    assert!(got.data.contains("https://example.com/?link=abc"), "{}", got.data);
}

#[tokio::test]
async fn what_may_pass_is_told_from_what_will_not() {
    let server = MailServer::start().await;
    let smtp = smtp(&server);
    server.answer_recipients("451 4.3.0 try again later");
    assert!(matches!(smtp.send(&mail("ada@example.com")).await, Err(MailError::Transient(_))));
    server.answer_recipients("550 5.1.1 <ada@example.com> is unknown here");
    let Err(MailError::Refused(reason)) = smtp.send(&mail("ada@example.com")).await else { panic!("it was taken") };
    assert!(!reason.contains("ada"), "{reason}");
    assert!(matches!(smtp.send(&mail("not an address")).await, Err(MailError::Refused(_))));
    assert_eq!(server.mails().len(), 0);
    drop(server);
    assert!(matches!(smtp.send(&mail("ada@example.com")).await, Err(MailError::Transient(_))));
    assert!(matches!(Unset.send(&mail("ada@example.com")).await, Err(MailError::Transient(_))));
}

#[tokio::test]
async fn a_header_can_not_be_smuggled_in() {
    let server = MailServer::start().await;
    let mut mail = mail("ada@example.com");
    mail.subject = "Hello\r\nBcc: eve@example.com".to_owned().into();
    // Whether it is refused or encoded, it can't add a header.
    let _ = smtp(&server).send(&mail).await;
    assert!(server.mails().iter().all(|mail| !mail.data.contains("\r\nBcc:")), "{:?}", server.mails());
}

#[test]
fn settings_that_can_not_be_used_are_named_without_their_secrets() {
    let error = Smtp::new("http://user:secret@example.com", "a@example.com").unwrap_err();
    assert!(matches!(error, SmtpError::Url(_)) && !error.to_string().contains("secret"), "{error}");
    assert_eq!(Smtp::new("smtp://127.0.0.1", "nobody").unwrap_err(), SmtpError::From("nobody".to_owned()));
}
