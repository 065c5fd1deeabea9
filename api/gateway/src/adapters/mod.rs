//! Adapters: the implementations of the ports through which domains and their sagas use what is outside their own log, such as mail and
//! text messages, name servers, other services, and the placement of tenants.
//!
//! A port is a trait of the crate that uses it ([`face`], [`kernel`], [`directory`], `auth_api`, `user_api`, `user_sagas`, `auth_sagas`). Its adapter
//! is a file here, named like the port. If an adapter needs something that is opened after the service with the port, it is a [`Late`]
//! value. To add one: add its file, its field in [`Adapters`], and, for a [`Late`] value, its binding in `server/`.

mod access;
mod breaches;
mod due_endings;
mod key_rings;
mod late;
mod machines;
mod names;
mod no_resources;
mod notice_mails;
mod notices;
mod password_link_mails;
mod permissions;
mod signing_in;
mod signing_keys;
mod tenants;
mod webhook_notices;

use std::sync::Arc;

use auth_api::SignInRecords;
use auth_api::authority::Authority;
use config::{Config, claim_key};
use directory::Installation;
use executor::{Executor, SubjectsElsewhere};
use face::Names;
use mailer::{Caught, Mailer, Smtp, SmtpError, Unset};
use nats::Bus;
use texting::{Limited, TextMessages, Twilio, TwilioError};
use user_api::permission_resolver::PermissionResolver;
use user_sagas::TenantResources;

pub use self::access::SignOut;
pub use self::breaches::RangeService;
pub use self::due_endings::AuthDueEndings;
use self::key_rings::AuthKeyRings;
pub use self::late::Late;
use self::names::DomainNames;
use self::no_resources::NoResources;
use self::notices::LogoutNotices;
pub use self::tenants::CachedTenants;
pub use self::webhook_notices::WebhookNotices;
use crate::auth::suspension::Suspended;
use crate::domains::holdings;
use crate::operations::Pools;

/// The adapters of this process. Cheap to clone.
#[derive(Clone)]
pub struct Adapters {
    /// Sends mail.
    pub mailer: Arc<dyn Mailer>,
    /// The mail that was captured instead of being sent, if that is configured.
    pub caught: Option<Caught>,
    /// Sends text messages.
    pub texts: Arc<dyn TextMessages>,
    /// The text messages that were captured instead of being sent, if that is configured.
    pub caught_texts: Option<texting::Caught>,
    /// The prefixes of numbers to which text messages may be sent; none: text messages are not sent.
    pub texted: Option<Arc<[String]>>,
    /// The public base URL, without a trailing slash, for mailed links and published URLs.
    pub url: Arc<str>,
    /// The secret from which keys of links are derived.
    pub secret: [u8; 32],
    /// Creates and removes what the installation has for a tenant.
    pub resources: Arc<dyn TenantResources>,
    /// DNS lookups, and which tenant holds which domain.
    pub names: Arc<dyn Names>,
    /// Notifies applications that a user's session has ended.
    pub notices: Arc<LogoutNotices>,
    /// Ends users' access.
    pub access: Arc<Late<SignOut>>,
    /// The executor over the log of the auth service, for the state of machines.
    pub machines: Arc<Late<Executor>>,
    /// The tenants whose requests are refused.
    pub suspended: Suspended,
    /// Reads what the auth service stores about a user.
    pub sign_in_records: Arc<Late<SignInRecords>>,
    /// The tenants' issuers, if the auth service runs here: they create signing keys and mailed links.
    pub authority: Arc<Late<Authority>>,
    /// The permissions of bearers.
    pub permission_resolver: Arc<Late<PermissionResolver>>,
}

/// The settings of mail or text messages are invalid.
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
    /// Adapters that refuse everything, for describing domains without running them.
    pub fn none() -> Self {
        Self {
            mailer: Arc::new(Unset),
            caught: None,
            texts: Arc::new(texting::Unset),
            caught_texts: None,
            texted: None,
            url: "".into(),
            secret: [0; 32],
            resources: Arc::new(NoResources),
            names: face::no_names(),
            notices: Arc::default(),
            access: Arc::default(),
            machines: Arc::default(),
            suspended: Suspended::default(),
            sign_in_records: Arc::default(),
            authority: Arc::default(),
            permission_resolver: Arc::default(),
        }
    }

    /// The adapters of this configuration, which note the pools that they open.
    ///
    /// # Errors
    /// When the URL of the mail server or of the text message provider, or the sender, is invalid.
    pub fn of(config: &Config, bus: &Bus, pools: &Pools) -> Result<Self, AdapterError> {
        let (mail, secret) = (&config.mail, claim_key(config).unwrap_or_default());
        let url: Arc<str> = config.http.url().trim_end_matches('/').into();
        let key_rings = Arc::new(AuthKeyRings::new(config.clone()));
        let resources =
            Arc::new(Installation::new(config.clone(), pools.directory(config), bus.clone(), holdings(), key_rings));
        let authority = Arc::<Late<Authority>>::default();
        let notices = Arc::new(LogoutNotices::new(authority.clone(), &config.webhooks.settings()));
        let names = Arc::new(DomainNames::new(config, pools.directory(config)));
        let adapters = Self { url, secret, resources, names, notices, authority, ..Self::none() }.texting(config)?;
        if mail.catch {
            let caught = Caught::default();
            return Ok(Self { mailer: Arc::new(caught.clone()), caught: Some(caught), ..adapters });
        }
        if mail.smtp_url.is_empty() {
            return Ok(adapters);
        }
        Ok(Self { mailer: Arc::new(Smtp::new(mail.smtp_url.reveal(), &mail.from)?), ..adapters })
    }

    /// The same adapters, with the configured text messages.
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

    /// Looks up users and machines in the logs of their services.
    pub fn subjects(&self) -> SubjectsElsewhere {
        SubjectsElsewhere { permissions: self.permission_resolver.clone(), machines: self.machines.clone() }
    }

    /// The same adapters without mail and text messages.
    pub fn without_mail(self) -> Self {
        Self { mailer: Arc::new(Unset), texts: Arc::new(texting::Unset), ..self }
    }
}
