//! What the domains need of the world outside the logs: mail.

use std::sync::Arc;

use mailer::{Caught, Mailer, Smtp, SmtpError, Unset};

use crate::config::{Config, claim_key};

/// What is outside. Cheap to clone.
#[derive(Clone)]
pub struct Outside {
    /// How mail goes out.
    pub mailer: Arc<dyn Mailer>,
    /// What was caught instead of being sent.
    pub caught: Option<Caught>,
    /// Where people reach us: the beginning of mailed links.
    pub url: Arc<str>,
    /// The secret from which keys of links are derived.
    pub secret: [u8; 32],
}

impl Outside {
    /// Nothing: for whoever only looks at what the domains are.
    pub fn absent() -> Self {
        Self { mailer: Arc::new(Unset), caught: None, url: "".into(), secret: [0; 32] }
    }

    /// As configured.
    ///
    /// # Errors
    /// When the mail server's URL or the sender can't be used.
    pub fn of(config: &Config) -> Result<Self, SmtpError> {
        let (mail, secret) = (&config.mail, claim_key(config).unwrap_or_default());
        let url: Arc<str> = config.http.url().trim_end_matches('/').into();
        let outside = Self { url, secret, ..Self::absent() };
        if mail.catch {
            let caught = Caught::default();
            return Ok(Self { mailer: Arc::new(caught.clone()), caught: Some(caught), ..outside });
        }
        if mail.smtp_url.is_empty() {
            return Ok(outside);
        }
        Ok(Self { mailer: Arc::new(Smtp::new(mail.smtp_url.reveal(), &mail.from)?), ..outside })
    }
}
