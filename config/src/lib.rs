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

use eventstore::Sealing;
use eventstore::seals::SealKey;
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

/// How the variables of all settings begin.
pub const PREFIX: &str = "INOPSIO_";

/// Everything that a program of ours can be told.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The HTTP server.
    pub http: Http,
    /// Postgres.
    pub postgres: Postgres,
    /// The bus.
    pub nats: Nats,
    /// Tokens.
    pub auth: Auth,
    /// Proof.
    pub audit: Audit,
    /// Where secrets are kept that are not given here, and a master key that is not here.
    pub vault: Vault,
    /// Requests a second.
    pub rate_limits: RateLimits,
    /// What a GraphQL query may cost.
    pub graphql: GraphQl,
    /// What events offer to others.
    pub events: Events,
    /// Webhooks.
    pub webhooks: Webhooks,
    /// Read models.
    pub projections: Projections,
    /// Mail.
    pub mail: Mail,
    /// Text messages.
    pub texts: Texts,
    /// The domain name system, and what is asked of domains.
    pub names: NameSettings,
    /// Who operates the installation over its own API.
    pub operators: Operators,
    /// Logs.
    pub log: Log,
    /// Traces.
    pub telemetry: Telemetry,
    /// Names of the services' databases, where they are not `inopsio_<service>`.
    pub databases: BTreeMap<String, String>,
    /// URLs of the instances of services that run elsewhere, separated by commas.
    pub remotes: BTreeMap<String, String>,
    /// Where the directory of tenants is, when several cells share one.
    pub directory: DirectoryPlace,
    /// The cells, by name: in the file only.
    pub cells: BTreeMap<String, Cell>,
    /// What this process has of Vault.
    #[serde(skip)]
    pub vaults: Vaults,
}

impl Config {
    /// Reads the file (if given), the environment, and flags: pairs of a key such as `http.port` and a value. `known`: what the
    /// program has that can be spoken of.
    pub fn load(
        file: Option<&std::path::Path>,
        flags: impl IntoIterator<Item = (&'static str, String)>,
        known: &Known,
    ) -> Result<Self, ConfigError> {
        load::load(file, load::environment(std::env::vars_os())?, flags, known)
    }

    /// How the log of a service is used.
    pub fn log_settings(&self) -> eventstore::Settings {
        eventstore::Settings {
            append_timeout: std::time::Duration::from_secs(self.postgres.append_timeout_seconds),
            queue_bytes: self.postgres.append_queue_mib << 20,
            sealing: self.master_key().map(|master| Sealing { master, random: Arc::new(SystemRandom) }),
            ..eventstore::Settings::default()
        }
    }

    /// How the bus is reached.
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
        // Commands work without the bus, so its absence does not keep us from starting.
        nats::Settings { connect_later: true, ..nats::Settings::new(&settings.url, credentials, "inopsio") }
    }

    /// What signs the heads of tenants' trees, if anything does: it was checked when it was read.
    pub fn seal_key(&self) -> Option<SealKey> {
        SealKey::parse(self.audit.seal_key.reveal())
    }

    /// Where the instances of a service are that runs elsewhere; `None`: it runs here.
    pub fn remote(&self, service: kernel::Service) -> Option<Vec<http::Uri>> {
        let urls = self.remotes.get(service.name())?;
        // Checked when it was read.
        Some(checks::remote_urls(urls).unwrap_or_default())
    }

    /// Where the processes of a cell are.
    pub fn cell_urls(&self, cell: &Cell) -> Vec<http::Uri> {
        // Checked when it was read.
        checks::remote_urls(&cell.urls).unwrap_or_default()
    }

    /// The cell of tenants of whom none was ever noted: this process's own, else the only one.
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
