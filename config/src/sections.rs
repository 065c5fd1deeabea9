//! The sections of the configuration.

mod face;
mod secrets;
mod stores;

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use self::face::{Events, GraphQl, Http, RateLimits};
pub use self::secrets::{Audit, Auth, SecretText, Vault};
pub use self::stores::{Nats, Partitions, Postgres, Projections, SslMode};

/// The domain name system, and what is asked of domains.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct NameSettings {
    /// Which servers are asked, each an address or an address with a port; none: the system's.
    pub servers: Vec<String>,
    /// Whether identity providers are connected for domains only that the tenant has verified. Those that are connected stay.
    pub verified_domains_only: bool,
}

impl NameSettings {
    /// The address of a server.
    ///
    /// # Errors
    /// The text, when it is none.
    pub fn server(text: &str) -> Result<SocketAddr, &str> {
        let address = text.parse().or_else(|_| text.parse().map(|ip: IpAddr| SocketAddr::new(ip, 53)));
        address.map_err(|_| text)
    }
}

/// Webhooks.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Webhooks {
    /// Whether they may go to private addresses and over plain http: for development only.
    pub allow_private: bool,
    /// The most seconds that a receiver may take to answer.
    pub timeout_seconds: u64,
    /// After how many hours without success a webhook is disabled.
    pub disable_after_hours: u64,
}

impl Default for Webhooks {
    fn default() -> Self {
        Self { allow_private: false, timeout_seconds: 10, disable_after_hours: 5 * 24 }
    }
}

impl Webhooks {
    /// How webhooks are delivered.
    pub fn settings(&self) -> webhooks::Settings {
        webhooks::Settings {
            guard: webhooks::Guard { allow_private: self.allow_private },
            timeout: std::time::Duration::from_secs(self.timeout_seconds),
            disable_after: std::time::Duration::from_secs(self.disable_after_hours.saturating_mul(3_600)),
            ..webhooks::Settings::default()
        }
    }
}

/// Mail.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mail {
    /// The mail server: `smtps://user:password@host`, or `smtp://host:587?tls=required`. Empty: nothing is mailed.
    pub smtp_url: SecretText,
    /// Whom mail is from.
    pub from: String,
    /// Whether mail is kept to be looked at (`/dev/mail`) instead of being sent: for development only.
    pub catch: bool,
}

impl Default for Mail {
    fn default() -> Self {
        Self { smtp_url: SecretText::default(), from: "Inopsio <no-reply@localhost>".to_owned(), catch: false }
    }
}

/// Text messages.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Texts {
    /// Where they are handed over: `https://<account>:<token>@api.twilio.com/2010-04-01/Accounts/<account>/Messages.json`, or the like of
    /// another provider that speaks Twilio's Messages API. Empty: none are sent.
    pub url: SecretText,
    /// Whom they are from: a number, a name, or the id of a messaging service.
    pub from: String,
    /// How the numbers begin to which they go; none: all of them.
    pub prefixes: Vec<String>,
    /// The most that go out for a tenant in an hour.
    pub tenant_per_hour: NonZeroU32,
    /// Whether they are kept to be looked at (`/dev/mail`) instead of being sent: for development only.
    pub catch: bool,
}

impl Default for Texts {
    fn default() -> Self {
        Self {
            url: SecretText::default(),
            from: String::new(),
            prefixes: Vec::new(),
            tenant_per_hour: NonZeroU32::MIN.saturating_add(99),
            catch: false,
        }
    }
}

impl Texts {
    /// How the numbers begin to which text messages go; none: none are sent.
    pub fn reach(&self) -> Option<Arc<[String]>> {
        (self.catch || !self.url.is_empty()).then(|| self.prefixes.clone().into())
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Readable on a terminal, JSON otherwise.
    #[default]
    Auto,
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// Logs.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// What is logged, for example `info` or `info,gateway=debug`.
    pub filter: String,
    /// How.
    pub format: Format,
}

impl Default for Log {
    fn default() -> Self {
        Self { filter: "info".to_owned(), format: Format::Auto }
    }
}

/// Where the directory of tenants is, when several cells share one.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct DirectoryPlace {
    /// The cell that this process belongs to: tenants that are made here live in it.
    pub cell: Option<String>,
    /// URL of the directory's database, as its role `inopsio_directory`; empty: in the Postgres of this configuration.
    pub url: SecretText,
}

/// A cell: one Postgres, one nats-server or cluster, and the processes that work with these.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Cell {
    /// URLs of its `inopsio serve`, separated by commas.
    pub urls: String,
    /// URL of its Postgres, as a superuser: for moving tenants.
    #[serde(default)]
    pub admin_url: SecretText,
    /// URL of its nats-server, with user and password: so that its relay need not look by itself when a tenant arrives.
    #[serde(default)]
    pub nats_url: SecretText,
}

/// Who operates the installation over its own API.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Operators {
    /// The tenant whose administrators may ask for what touches all tenants; none: nobody may.
    pub tenant: Option<uuid::Uuid>,
}

impl Operators {
    /// The tenant.
    #[expect(clippy::disallowed_methods, reason = "who runs the installation vouches for its own tenant")]
    pub fn tenant(&self) -> Option<kernel::TenantId> {
        self.tenant.map(kernel::TenantId::vouched)
    }
}

/// Traces.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Telemetry {
    /// Where traces go by OTLP over gRPC, such as `http://127.0.0.1:4317`; none: nowhere.
    pub otlp_endpoint: Option<String>,
    /// The share of requests that are traced, 0 to 1, when the caller does not decide.
    pub sample: f64,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self { otlp_endpoint: None, sample: 0.1 }
    }
}
