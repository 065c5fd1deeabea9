//! The sections of data stores: Postgres, NATS, read models.

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
    /// Always, without verifying the server's certificate.
    Require,
    /// Always, and the certificate must be trusted.
    VerifyCa,
    /// Always, and the certificate must be trusted and issued for the server's name.
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
    /// The password of all Inopsio roles.
    pub password: SecretText,
    /// URL of a role that may create databases and roles; only `migrate` and `rebuild` need it.
    pub admin_url: SecretText,
    /// Name of the database with the directory of tenants.
    pub directory: String,
    /// The key that hashes unique values (such as e-mail addresses): 64 hexadecimal digits; must never change.
    pub claim_key: SecretText,
    /// Size of the cache of recent aggregates, in MiB per service.
    pub cache_mib: u64,
    /// Number of events after which an aggregate gets a snapshot, from which it is loaded later; 0: never.
    pub snapshot_events: u64,
    /// Timeout of an append in seconds, including reconnects.
    pub append_timeout_seconds: u64,
    /// Maximum size of the append queue, in MiB per service.
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

/// NATS.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Nats {
    /// URL of a server, or of several servers of one cluster, separated by commas.
    pub url: String,
    /// User.
    pub user: Option<String>,
    /// Their password.
    pub password: SecretText,
    /// A token, instead of user and password.
    pub token: SecretText,
    /// The content of a `.creds` file, instead of user and password.
    pub creds: SecretText,
    /// Number of replicas of each stream: 1, 3 or 5.
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

/// The numbers of partitions of read models: powers of two.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(untagged, expecting = "a number (1, 2, 4, … 64), or a number for each of some projections, as {leads=4}")]
pub enum Partitions {
    /// The same number for all of them.
    All(u32),
    /// Numbers for some of them, by name; the others do not change.
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
    /// The numbers of partitions that `migrate` sets up.
    pub partitions: Partitions,
}

impl Projections {
    /// The configured number of partitions of a projection; `None`: its present number does not change.
    pub fn partitions_of(&self, projection: &str) -> Option<u32> {
        match &self.partitions {
            Partitions::All(partitions) => Some(*partitions),
            Partitions::Each(each) => each.get(projection).copied(),
        }
    }
}
