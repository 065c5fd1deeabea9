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

/// DNS servers, and rules for tenants' domains.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct NameSettings {
    /// DNS servers, each an address with or without a port; empty: those of the system.
    pub servers: Vec<String>,
    /// Whether identity providers can be connected only for domains that the tenant has verified. Existing connections are not affected.
    pub verified_domains_only: bool,
}

impl NameSettings {
    /// Parses the address of a DNS server; the default port is 53.
    ///
    /// # Errors
    /// The text, if it is not an address.
    pub fn server(text: &str) -> Result<SocketAddr, &str> {
        let address = text.parse().or_else(|_| text.parse().map(|ip: IpAddr| SocketAddr::new(ip, 53)));
        address.map_err(|_| text)
    }
}

/// Webhooks.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Webhooks {
    /// Whether they may be sent to private addresses and over plain http: for development only.
    pub allow_private: bool,
    /// Timeout of a delivery in seconds.
    pub timeout_seconds: u64,
    /// Hours without a successful delivery after which a webhook is disabled.
    pub disable_after_hours: u64,
}

impl Default for Webhooks {
    fn default() -> Self {
        Self { allow_private: false, timeout_seconds: 10, disable_after_hours: 5 * 24 }
    }
}

impl Webhooks {
    /// The settings of webhook delivery.
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
    /// The sender's address.
    pub from: String,
    /// Whether mail is kept for inspection (`/dev/mail`) instead of being sent: for development only.
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
    /// URL of the provider: `https://<account>:<token>@api.twilio.com/2010-04-01/Accounts/<account>/Messages.json`, or that of another
    /// provider with Twilio's Messages API. Empty: no text messages are sent.
    pub url: SecretText,
    /// The sender: a number, a name, or the id of a messaging service.
    pub from: String,
    /// Allowed prefixes of recipients' numbers; empty: all.
    pub prefixes: Vec<String>,
    /// Maximum messages per tenant and hour.
    pub tenant_per_hour: NonZeroU32,
    /// Whether they are kept for inspection (`/dev/mail`) instead of being sent: for development only.
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
    /// Allowed prefixes of recipients' numbers (empty: all); `None` if no text messages are sent.
    pub fn reach(&self) -> Option<Arc<[String]>> {
        (self.catch || !self.url.is_empty()).then(|| self.prefixes.clone().into())
    }
}

/// The format of log lines.
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
    /// The filter, for example `info` or `info,gateway=debug`.
    pub filter: String,
    /// The format.
    pub format: Format,
}

impl Default for Log {
    fn default() -> Self {
        Self { filter: "info".to_owned(), format: Format::Auto }
    }
}

/// The directory of tenants, if several cells share one.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct DirectoryPlace {
    /// The cell of this process. Tenants that are created here live in it.
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
    /// URL of its nats-server, with user and password, to wake its relay when a tenant was moved there; without it, the relay finds the
    /// events by polling.
    #[serde(default)]
    pub nats_url: SecretText,
}

/// The operators of the installation.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Operators {
    /// The tenant whose administrators may run operations that affect all tenants; `None`: nobody may.
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
    /// The OTLP endpoint for traces (gRPC), such as `http://127.0.0.1:4317`; `None`: no traces are exported.
    pub otlp_endpoint: Option<String>,
    /// The share of requests that are traced, 0 to 1, if the caller does not decide.
    pub sample: f64,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self { otlp_endpoint: None, sample: 0.1 }
    }
}
