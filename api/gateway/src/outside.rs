//! What the domains need of the world outside the logs: mail, text messages, and the places of tenants.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use config::{Config, claim_key};
use directory::Installation;
use face::Names;
use futures::future::{BoxFuture, FutureExt, ready};
use kernel::{Service, TenantId};
use mailer::{Caught, Mailer, Smtp, SmtpError, Unset};
use nats::Bus;
use texting::{Limited, TextMessages, Twilio, TwilioError};
use user_sagas::{PlaceError, Places, Standing};

use crate::domains::holdings;
use crate::doors::Doors;
use crate::dossiers::Dossiers;
use crate::keysmith::Keysmith;
use crate::letters::Scribe;
use crate::machines::Roster;
use crate::names::Register;
use crate::notices::Herald;
use crate::powers::Ranks;
use crate::rings::Rings;
use crate::suspension::Suspended;

/// What is outside. Cheap to clone.
#[derive(Clone)]
pub struct Outside {
    /// How mail goes out.
    pub mailer: Arc<dyn Mailer>,
    /// What was caught instead of being sent.
    pub caught: Option<Caught>,
    /// How text messages go out.
    pub texts: Arc<dyn TextMessages>,
    /// Those that were caught instead of being sent.
    pub caught_texts: Option<texting::Caught>,
    /// How the numbers begin to which they go; none: none are sent.
    pub texted: Option<Arc<[String]>>,
    /// Where people reach us: the beginning of mailed links.
    pub url: Arc<str>,
    /// The secret from which keys of links are derived.
    pub secret: [u8; 32],
    /// Where tenants' places are made.
    pub places: Arc<dyn Places>,
    /// The domain name system, and who has which domain.
    pub names: Arc<dyn Names>,
    /// What is mailed to people in matters of signing in.
    pub letters: Arc<Scribe>,
    /// What applications are told in matters of signing in.
    pub notices: Arc<Herald>,
    /// Where people are signed in.
    pub access: Arc<Doors>,
    /// Who knows how it stands with machines.
    pub machines: Arc<Roster>,
    /// Which tenants may not come in.
    pub suspended: Suspended,
    /// What is known of people where they sign in.
    pub dossiers: Arc<Dossiers>,
    /// Who makes the keys that sign tokens.
    pub keysmith: Arc<Keysmith>,
    /// Who may do what.
    pub ranks: Arc<Ranks>,
}

/// Mail or text messages that can't go out as they are configured.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutsideError {
    /// Mail.
    #[error(transparent)]
    Mail(#[from] SmtpError),
    /// Text messages.
    #[error(transparent)]
    Texts(#[from] TwilioError),
}

/// Nowhere: for whoever only looks at what the domains are.
struct Nowhere;

impl Outside {
    /// Nothing: for whoever only looks at what the domains are.
    pub fn absent() -> Self {
        Self {
            mailer: Arc::new(Unset),
            caught: None,
            texts: Arc::new(texting::Unset),
            caught_texts: None,
            texted: None,
            url: "".into(),
            secret: [0; 32],
            places: Arc::new(Nowhere),
            names: face::no_names(),
            letters: Arc::default(),
            notices: Arc::default(),
            access: Arc::default(),
            machines: Arc::default(),
            suspended: Suspended::default(),
            dossiers: Arc::default(),
            keysmith: Arc::default(),
            ranks: Arc::default(),
        }
    }

    /// As configured.
    ///
    /// # Errors
    /// When the mail server's or the provider's URL, or the sender, can't be used.
    pub fn of(config: &Config, bus: &Bus) -> Result<Self, OutsideError> {
        let (mail, secret) = (&config.mail, claim_key(config).unwrap_or_default());
        let url: Arc<str> = config.http.url().trim_end_matches('/').into();
        let rings = Arc::new(Rings::new(config.clone()));
        let places = Arc::new(Installation::new(config.clone(), bus.clone(), holdings(), rings));
        let notices = Arc::new(Herald::new(&config.webhooks.settings()));
        let names = Arc::new(Register::new(config));
        let outside = Self { url, secret, places, names, notices, ..Self::absent() }.texting(config)?;
        if mail.catch {
            let caught = Caught::default();
            return Ok(Self { mailer: Arc::new(caught.clone()), caught: Some(caught), ..outside });
        }
        if mail.smtp_url.is_empty() {
            return Ok(outside);
        }
        Ok(Self { mailer: Arc::new(Smtp::new(mail.smtp_url.reveal(), &mail.from)?), ..outside })
    }

    /// The same, from where text messages go out as configured.
    fn texting(self, config: &Config) -> Result<Self, TwilioError> {
        let texts = &config.texts;
        let outside = Self { texted: texts.reach(), ..self };
        if texts.catch {
            let caught = texting::Caught::default();
            let limited = Limited::new(caught.clone(), texts.tenant_per_hour);
            return Ok(Self { texts: Arc::new(limited), caught_texts: Some(caught), ..outside });
        }
        if texts.url.is_empty() {
            return Ok(outside);
        }
        let provider = Twilio::new(texts.url.reveal(), &texts.from)?;
        Ok(Self { texts: Arc::new(Limited::new(provider, texts.tenant_per_hour)), ..outside })
    }

    /// The same, from where nothing is mailed or texted.
    pub fn without_mail(self) -> Self {
        Self { mailer: Arc::new(Unset), texts: Arc::new(texting::Unset), ..self }
    }
}

fn nowhere<'a>() -> BoxFuture<'a, Result<(), PlaceError>> {
    ready(Err(PlaceError::Passing("no place is made here".to_owned()))).boxed()
}

impl Places for Nowhere {
    fn reserve<'a>(
        &'a self,
        _: TenantId,
        _: &'a str,
        _: &'a str,
        _: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<(), PlaceError>> {
        nowhere()
    }

    fn release(&self, _: TenantId) -> BoxFuture<'_, Result<(), PlaceError>> {
        nowhere()
    }

    fn open(&self, _: TenantId) -> BoxFuture<'_, Result<(), PlaceError>> {
        nowhere()
    }

    fn note_standing(&self, _: TenantId, _: Standing) -> BoxFuture<'_, Result<(), PlaceError>> {
        nowhere()
    }

    fn services(&self) -> Vec<Service> {
        Vec::new()
    }

    fn record_deletion(&self, _: TenantId) -> BoxFuture<'_, Result<(), PlaceError>> {
        nowhere()
    }

    fn destroy(&self, _: TenantId, _: Service) -> BoxFuture<'_, Result<(), PlaceError>> {
        nowhere()
    }

    fn check_databases(&self) -> BoxFuture<'_, Result<(), PlaceError>> {
        nowhere()
    }

    fn check_streams(&self) -> BoxFuture<'_, Result<(), PlaceError>> {
        nowhere()
    }

    fn make_keys(&self, _: TenantId) -> BoxFuture<'_, Result<(), PlaceError>> {
        nowhere()
    }

    fn close_keys(&self, _: TenantId) -> BoxFuture<'_, Result<(), PlaceError>> {
        nowhere()
    }
}
