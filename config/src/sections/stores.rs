//! What is written and read: Postgres, the bus, read models.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::SecretText;

/// Whether connections to Postgres use TLS.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum SslMode {
    /// Never.
    Disable,
    /// If the server offers it.
    #[default]
    Prefer,
    /// Always, whoever the server is.
    Require,
    /// Always, with a certificate that we trust.
    VerifyCa,
    /// Always, with a certificate that we trust for the server's name.
    VerifyFull,
}

impl From<SslMode> for sqlx::postgres::PgSslMode {
    fn from(mode: SslMode) -> Self {
        match mode {
            SslMode::Disable => Self::Disable,
            SslMode::Prefer => Self::Prefer,
            SslMode::Require => Self::Require,
            SslMode::VerifyCa => Self::VerifyCa,
            SslMode::VerifyFull => Self::VerifyFull,
        }
    }
}

/// Postgres.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Postgres {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Directory of the unix socket, used instead of the host.
    pub socket: Option<PathBuf>,
    /// Whether TLS is used.
    pub ssl_mode: SslMode,
    /// The password of all our roles.
    pub password: SecretText,
    /// URL of a role that may create databases and roles; only `migrate` and `rebuild` need it.
    pub admin_url: SecretText,
    /// Name of the directory of tenants' database.
    pub directory: String,
    /// The key under which unique values (e-mail addresses) are hashed: 64 hexadecimal digits, the same for ever.
    pub claim_key: SecretText,
    /// How many MiB of recent aggregates are kept in memory, a service.
    pub cache_mib: u64,
    /// After how many events an aggregate gets a snapshot, from which it is loaded later; 0: never.
    pub snapshot_events: u64,
    /// The most seconds that writing may take, the time of reconnecting included.
    pub append_timeout_seconds: u64,
    /// How many MiB may wait to be written, a service.
    pub append_queue_mib: u32,
}

impl Default for Postgres {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port: 5432,
            socket: None,
            ssl_mode: SslMode::default(),
            password: SecretText::default(),
            admin_url: SecretText::default(),
            directory: "inopsio_directory".to_owned(),
            claim_key: SecretText::default(),
            cache_mib: 32,
            snapshot_events: 200,
            append_timeout_seconds: 10,
            append_queue_mib: 64,
        }
    }
}

/// The bus.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Nats {
    /// URL of a server; several of one cluster with commas between.
    pub url: String,
    /// User.
    pub user: Option<String>,
    /// Their password.
    pub password: SecretText,
    /// A token, instead of user and password.
    pub token: SecretText,
    /// The text of a `.creds` file, instead of user and password.
    pub creds: SecretText,
    /// How many servers keep each stream: 1, 3 or 5.
    pub replicas: usize,
}

impl Default for Nats {
    fn default() -> Self {
        Self {
            url: "nats://127.0.0.1:4222".to_owned(),
            user: None,
            password: SecretText::default(),
            token: SecretText::default(),
            creds: SecretText::default(),
            replicas: 1,
        }
    }
}

/// How many partitions read models have: a power of two.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(untagged, expecting = "a number (1, 2, 4, … 64), or a number for each of some projections, as {leads=4}")]
pub enum Partitions {
    /// All of them.
    All(u32),
    /// Some of them, by name; the others stay as they are.
    Each(BTreeMap<String, u32>),
}

impl Default for Partitions {
    fn default() -> Self {
        Self::Each(BTreeMap::new())
    }
}

/// Read models.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Projections {
    /// Into how many partitions `migrate` divides them.
    pub partitions: Partitions,
}

impl Projections {
    /// Into how many partitions a projection shall be divided; none: it stays as it is.
    pub fn partitions_of(&self, projection: &str) -> Option<u32> {
        match &self.partitions {
            Partitions::All(partitions) => Some(*partitions),
            Partitions::Each(each) => each.get(projection).copied(),
        }
    }
}
