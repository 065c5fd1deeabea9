//! Adapters: what is behind the ports that the domains and their sagas define for what they need beside their own log: mail and text
//! messages, name servers, each other's services, the places of tenants.
//!
//! A port is a trait of the crate that asks ([`face`], [`kernel`], [`directory`], `auth_api`, `user_sagas`, `auth_sagas`); its adapter is
//! a file here, named like the port. What an adapter asks is often opened after the service that holds the port: such an adapter is a
//! [`Late`] value. To add one: its file, its field in [`Adapters`], and where it is bound, in `server/`.

mod access;
mod breaches;
mod key_rings;
mod late;
mod letters;
mod machines;
mod names;
mod no_places;
mod notices;
mod permissions;
mod signing_in;
mod signing_keys;
mod tenants;
mod webhook_notices;

use std::sync::Arc;

use auth_api::Dossier;
use auth_api::authority::Authority;
use config::{Config, claim_key};
use directory::Installation;
use executor::Executor;
use face::Names;
use mailer::{Caught, Mailer, Smtp, SmtpError, Unset};
use nats::Bus;
use texting::{Limited, TextMessages, Twilio, TwilioError};
use user_api::bearers::Bearers;
use user_sagas::Places;

pub use self::access::SignOut;
pub use self::breaches::RangeService;
use self::key_rings::AuthKeyRings;
pub use self::late::Late;
use self::names::DomainNames;
use self::no_places::NoPlaces;
use self::notices::LogoutNotices;
pub use self::tenants::CachedTenants;
pub use self::webhook_notices::WebhookNotices;
use crate::auth::suspension::Suspended;
use crate::domains::holdings;

/// What this process hands its domains. Cheap to clone.
#[derive(Clone)]
pub struct Adapters {
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
    /// Where people reach us, without a slash at the end: the beginning of mailed links, and of addresses that we tell.
    pub url: Arc<str>,
    /// The secret from which keys of links are derived.
    pub secret: [u8; 32],
    /// Where tenants' places are made.
    pub places: Arc<dyn Places>,
    /// The domain name system, and who has which domain.
    pub names: Arc<dyn Names>,
    /// How applications are told that somebody's session has ended.
    pub notices: Arc<LogoutNotices>,
    /// Where people are signed out.
    pub access: Arc<Late<SignOut>>,
    /// Over the log of the auth service: how it stands with machines.
    pub machines: Arc<Late<Executor>>,
    /// Which tenants may not come in.
    pub suspended: Suspended,
    /// What is known of people where they sign in.
    pub dossier: Arc<Late<Dossier>>,
    /// The issuers of the tenants, where the auth service runs: they make the keys that sign tokens, and the links that are mailed.
    pub authority: Arc<Late<Authority>>,
    /// Who may do what.
    pub bearers: Arc<Late<Bearers>>,
}

/// Mail or text messages that can't go out as they are configured.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdapterError {
    /// Mail.
    #[error(transparent)]
    Mail(#[from] SmtpError),
    /// Text messages.
    #[error(transparent)]
    Texts(#[from] TwilioError),
}

impl Adapters {
    /// None: for whoever only looks at what the domains are. Nothing is sent, asked or made.
    pub fn none() -> Self {
        Self {
            mailer: Arc::new(Unset),
            caught: None,
            texts: Arc::new(texting::Unset),
            caught_texts: None,
            texted: None,
            url: "".into(),
            secret: [0; 32],
            places: Arc::new(NoPlaces),
            names: face::no_names(),
            notices: Arc::default(),
            access: Arc::default(),
            machines: Arc::default(),
            suspended: Suspended::default(),
            dossier: Arc::default(),
            authority: Arc::default(),
            bearers: Arc::default(),
        }
    }

    /// As configured.
    ///
    /// # Errors
    /// When the mail server's or the provider's URL, or the sender, can't be used.
    pub fn of(config: &Config, bus: &Bus) -> Result<Self, AdapterError> {
        let (mail, secret) = (&config.mail, claim_key(config).unwrap_or_default());
        let url: Arc<str> = config.http.url().trim_end_matches('/').into();
        let key_rings = Arc::new(AuthKeyRings::new(config.clone()));
        let places = Arc::new(Installation::new(config.clone(), bus.clone(), holdings(), key_rings));
        let authority = Arc::<Late<Authority>>::default();
        let notices = Arc::new(LogoutNotices::new(authority.clone(), &config.webhooks.settings()));
        let names = Arc::new(DomainNames::new(config));
        let adapters = Self { url, secret, places, names, notices, authority, ..Self::none() }.texting(config)?;
        if mail.catch {
            let caught = Caught::default();
            return Ok(Self { mailer: Arc::new(caught.clone()), caught: Some(caught), ..adapters });
        }
        if mail.smtp_url.is_empty() {
            return Ok(adapters);
        }
        Ok(Self { mailer: Arc::new(Smtp::new(mail.smtp_url.reveal(), &mail.from)?), ..adapters })
    }

    /// The same, from where text messages go out as configured.
    fn texting(self, config: &Config) -> Result<Self, TwilioError> {
        let texts = &config.texts;
        let adapters = Self { texted: texts.reach(), ..self };
        if texts.catch {
            let caught = texting::Caught::default();
            let limited = Limited::new(caught.clone(), texts.tenant_per_hour);
            return Ok(Self { texts: Arc::new(limited), caught_texts: Some(caught), ..adapters });
        }
        if texts.url.is_empty() {
            return Ok(adapters);
        }
        let provider = Twilio::new(texts.url.reveal(), &texts.from)?;
        Ok(Self { texts: Arc::new(Limited::new(provider, texts.tenant_per_hour)), ..adapters })
    }

    /// The same, from where nothing is mailed or texted.
    pub fn without_mail(self) -> Self {
        Self { mailer: Arc::new(Unset), texts: Arc::new(texting::Unset), ..self }
    }
}
