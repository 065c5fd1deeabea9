//! The settings of our programs: typed, one struct for each section. Defaults < file < environment < flags.
//!
//! [`Config::load`] reads a file and the environment variables, applies flags, fetches secrets from Vault, and checks everything. An
//! invalid value stops the start, with a message that names the key, the value and what is allowed. All settings are described in
//! one table ([`SETTINGS`]), from which `.env.example` and the book are generated.
//!
//! [`Config`] then makes the settings of each crate, in that crate's own types: [`Config::database`], [`Config::log_settings`],
//! [`Config::bus_settings`], `webhooks.settings()`. Those crates do not depend on this one.
//!
//! To add a setting: add its field and default in `sections`, its line in `settings.rs`, and in `checks.rs` what its type cannot check.

#![deny(missing_docs)]

mod checks;
mod kv;
mod load;
mod master;
mod sections;
mod settings;
mod unknown;

use std::collections::BTreeMap;
use std::sync::Arc;

use eventstore::seals::SealKey;
use eventstore::{Sealing, claim_key_mark};
use keys::SystemRandom;
pub use load::{ConfigError, Known, claim_key};
pub use master::Vaults;
pub use sections::{
    Audit, Auth, Cell, DirectoryPlace, Events, Format, GraphQl, Http, Log, Mail, NameSettings, Nats, Operators,
    Partitions, Postgres, Projections, RateLimits, SecretText, SslMode, Telemetry, Texts, Vault, Webhooks,
};
use serde::{Deserialize, Serialize};
pub use settings::{SETTINGS, Setting};
pub use unknown::{Unknown, unknown};

/// The prefix of the environment variables of all settings.
pub const PREFIX: &str = "INOPSIO_";

/// The configuration of an Inopsio program.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The HTTP server.
    pub http: Http,
    /// Postgres.
    pub postgres: Postgres,
    /// The bus.
    pub nats: Nats,
    /// Tokens and keys.
    pub auth: Auth,
    /// Signed proofs of tenants' histories.
    pub audit: Audit,
    /// Vault, for secrets that are not in the configuration itself and for a master key that stays in Vault.
    pub vault: Vault,
    /// Rate limits.
    pub rate_limits: RateLimits,
    /// Limits of GraphQL queries.
    pub graphql: GraphQl,
    /// The event feed (`GET /v1/events`).
    pub events: Events,
    /// Webhooks.
    pub webhooks: Webhooks,
    /// Read models.
    pub projections: Projections,
    /// Mail.
    pub mail: Mail,
    /// Text messages.
    pub texts: Texts,
    /// DNS servers, and rules for tenants' domains.
    pub names: NameSettings,
    /// The operators' tenant, whose administrators may use the API for the whole installation.
    pub operators: Operators,
    /// Logs.
    pub log: Log,
    /// Traces.
    pub telemetry: Telemetry,
    /// Names of the services' databases, if they differ from `inopsio_<service>`.
    pub databases: BTreeMap<String, String>,
    /// URLs of the instances of services that run in other processes, separated by commas.
    pub remotes: BTreeMap<String, String>,
    /// The directory of tenants, if several cells share one.
    pub directory: DirectoryPlace,
    /// The cells, by name. They can be set in the file only.
    pub cells: BTreeMap<String, Cell>,
    /// The Vault clients of this process.
    #[serde(skip)]
    pub vaults: Vaults,
}

impl Config {
    /// Reads the file (if given), the environment, and flags: pairs of a key such as `http.port` and a value. `known`: the names of
    /// services and read models that the configuration may use.
    pub fn load(
        file: Option<&std::path::Path>,
        flags: impl IntoIterator<Item = (&'static str, String)>,
        known: &Known,
    ) -> Result<Self, ConfigError> {
        load::load(file, load::environment(std::env::vars_os())?, flags, known)
    }

    /// The settings of the event store.
    pub fn log_settings(&self) -> eventstore::Settings {
        eventstore::Settings {
            append_timeout: std::time::Duration::from_secs(self.postgres.append_timeout_seconds),
            queue_bytes: self.postgres.append_queue_mib << 20,
            sealing: self.master_key().map(|master| Sealing { master, random: Arc::new(SystemRandom) }),
            claim_key_mark: claim_key(self).map(|key| claim_key_mark(&key)),
            ..eventstore::Settings::default()
        }
    }

    /// The settings of the connection to NATS.
    pub fn bus_settings(&self) -> nats::Settings {
        let settings = &self.nats;
        let credentials = if !settings.creds.is_empty() {
            nats::Credentials::Creds(settings.creds.reveal().to_owned())
        } else if !settings.token.is_empty() {
            nats::Credentials::Token(settings.token.reveal().to_owned())
        } else if let Some(user) = &settings.user {
            nats::Credentials::Password { user: user.clone(), password: settings.password.reveal().to_owned() }
        } else {
            nats::Credentials::None
        };
        // Commands work without the bus, so the program starts without it and connects later.
        nats::Settings { connect_later: true, ..nats::Settings::new(&settings.url, credentials, "inopsio") }
    }

    /// The key that signs the tree heads of tenants, if one is set. It was validated on load.
    pub fn seal_key(&self) -> Option<SealKey> {
        SealKey::parse(self.audit.seal_key.reveal())
    }

    /// The instances of a service that runs in other processes; `None` if it runs in this one.
    pub fn remote(&self, service: kernel::Service) -> Option<Vec<http::Uri>> {
        let urls = self.remotes.get(service.name())?;
        // Validated on load.
        Some(checks::remote_urls(urls).unwrap_or_default())
    }

    /// The URLs of a cell's processes.
    pub fn cell_urls(&self, cell: &Cell) -> Vec<http::Uri> {
        // Validated on load.
        checks::remote_urls(&cell.urls).unwrap_or_default()
    }

    /// The cell of tenants without a recorded cell: this process's own, otherwise the only one that is configured.
    pub fn home_cell(&self) -> Option<&str> {
        self.directory.cell.as_deref().or_else(|| self.cells.keys().next().map(String::as_str))
    }

    /// The database of a service.
    pub fn database(&self, service: kernel::Service) -> eventstore::Database {
        let name = self.databases.get(service.name()).cloned().unwrap_or_else(|| format!("inopsio_{service}"));
        eventstore::Database {
            host: self.postgres.host.clone(),
            port: self.postgres.port,
            socket: self.postgres.socket.clone(),
            name,
            service,
            password: eventstore::Secret::new(self.postgres.password.reveal()),
            ssl_mode: self.postgres.ssl_mode.into(),
        }
    }
}
