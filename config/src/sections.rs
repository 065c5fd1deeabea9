//! The sections of the configuration.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A secret: never shown.
#[derive(Clone, Default, Deserialize, PartialEq, Eq)]
#[serde(transparent)]
pub struct SecretText(String);

impl SecretText {
    /// Wraps a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "(none)" } else { "(secret)" })
    }
}

impl Serialize for SecretText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(if self.0.is_empty() { "" } else { "(secret)" })
    }
}

/// The HTTP server.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    /// Address to listen on.
    #[serde(deserialize_with = "address")]
    pub host: IpAddr,
    /// Port to listen on; 0: any free one.
    pub port: u16,
    /// Where others reach us, such as `https://api.example.com`: the beginning of issuers and of mailed links. Empty: at the
    /// address on which we listen.
    pub public_url: String,
    /// The most bytes of a JSON body.
    pub body_limit: usize,
    /// The most bytes of an uploaded file.
    pub upload_limit: usize,
    /// How many uploaded files are held in memory at once.
    pub uploads: usize,
    /// How many of them may be one tenant's.
    pub uploads_of_a_tenant: usize,
    /// The most seconds that a request may take.
    pub timeout_seconds: u64,
    /// After how many seconds in which nothing came or went a connection is closed; later where a request may take longer.
    pub idle_seconds: u64,
    /// The most seconds that running requests get to finish when the server stops.
    pub drain_seconds: u64,
    /// Proxies before us that are believed from whom requests came (`X-Forwarded-For`): addresses, and networks such as `10.0.0.0/8`.
    pub trusted_proxies: Vec<String>,
    /// Origins whose scripts may call us, such as `https://app.example.com`; `*`: all.
    pub cors_origins: Vec<String>,
    /// Whether answers are compressed for clients that ask for it.
    pub compression: bool,
}

/// An address, or `localhost`.
fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<IpAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text == "localhost" {
        return Ok(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    text.parse::<IpAddr>().map_err(|_| {
        D::Error::custom(format!("{text:?} is not allowed; allowed is an address such as 127.0.0.1, 0.0.0.0 or ::1"))
    })
}

impl Default for Http {
    fn default() -> Self {
        Self {
            host: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 8080,
            public_url: String::new(),
            body_limit: 1 << 20,
            upload_limit: 32 << 20,
            uploads: 4,
            uploads_of_a_tenant: 2,
            timeout_seconds: 60,
            idle_seconds: 75,
            drain_seconds: 20,
            trusted_proxies: Vec::new(),
            cors_origins: Vec::new(),
            compression: true,
        }
    }
}

impl Http {
    /// Where people reach us.
    pub fn url(&self) -> String {
        if self.public_url.is_empty() { format!("http://{}:{}", self.host, self.port) } else { self.public_url.clone() }
    }

    /// The addresses and networks of the proxies before us that are believed.
    ///
    /// # Errors
    /// The first text that is neither.
    pub fn proxies(&self) -> Result<Vec<IpNet>, String> {
        let network = |text: &String| {
            let text = text.trim();
            let address = || text.parse::<IpAddr>().map(|address| IpNet::from(address.to_canonical()));
            text.parse::<IpNet>().or_else(|_| address()).map_err(|_| text.to_owned())
        };
        self.trusted_proxies.iter().map(network).collect()
    }

    /// How long nothing may come or go on a connection.
    pub fn idle(&self) -> Duration {
        Duration::from_secs(self.idle_seconds.max(self.timeout_seconds + 1))
    }
}

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

/// Tokens.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    /// The key under which tenants' keys are wrapped: 64 hexadecimal digits, or where it is in Vault (`transit:<mount>/<key>`).
    pub master_key: SecretText,
    /// The one before it, which opens what it wrapped until that is wrapped anew.
    pub former_master_key: SecretText,
    /// How many seconds an access token of a tenant's issuer is valid.
    pub access_token_seconds: u32,
    /// For how many seconds a new signing key is only shown, before it signs.
    pub key_overlap_seconds: u32,
    /// After how many days of signing a key is followed by another one by itself; 0: never.
    pub key_rotation_days: u32,
    /// The Ed25519 public key that verifies tokens of `inopsio token`, as PEM; none: there are none.
    pub public_key: SecretText,
    /// The Ed25519 private key that mints tokens, as PEM; only `inopsio token` needs it.
    pub signing_key: SecretText,
    /// Who must have issued a token of `inopsio token`.
    pub issuer: String,
    /// For whom a token must be.
    pub audience: String,
    /// How many seconds clocks may differ.
    pub leeway_seconds: u64,
    /// Who tells which new passwords were seen in breaches, such as `https://api.pwnedpasswords.com/range`; empty: nobody is asked.
    pub breaches_url: String,
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            master_key: SecretText::default(),
            former_master_key: SecretText::default(),
            access_token_seconds: 900,
            key_overlap_seconds: 3_600,
            key_rotation_days: 90,
            public_key: SecretText::default(),
            signing_key: SecretText::default(),
            issuer: "inopsio".to_owned(),
            audience: "inopsio".to_owned(),
            leeway_seconds: 5,
            breaches_url: String::new(),
        }
    }
}

/// Proof.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Audit {
    /// The seed of the Ed25519 key that signs the heads of tenants' trees: 64 hexadecimal digits; none: nobody signs them.
    pub seal_key: SecretText,
}

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

/// Vault, for secrets that are given as `vault:<mount>/<path>#<key>`, and for a master key that stays there (`transit:<mount>/<key>`).
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Vault {
    /// Its URL.
    pub address: String,
    /// The token that may do that.
    pub token: SecretText,
    /// The file in which it stands, which is read again when somebody writes it anew.
    pub token_file: Option<PathBuf>,
    /// The role that logs in (AppRole), instead of a token.
    pub role_id: Option<String>,
    /// What it logs in with.
    pub secret_id: SecretText,
    /// The file in which that stands, read at each login.
    pub secret_id_file: Option<PathBuf>,
    /// Where that way to log in is mounted.
    pub approle_mount: String,
    /// The namespace, where Vault has several.
    pub namespace: Option<String>,
    /// A file with the authorities by whom Vault's certificate may be signed, PEM; none: those of the machine.
    pub ca_file: Option<PathBuf>,
    /// How many seconds Vault may take, repetitions included.
    pub timeout_seconds: u64,
}

impl Default for Vault {
    fn default() -> Self {
        Self {
            address: "https://127.0.0.1:8200".to_owned(),
            token: SecretText::default(),
            token_file: None,
            role_id: None,
            secret_id: SecretText::default(),
            secret_id_file: None,
            approle_mount: "approle".to_owned(),
            namespace: None,
            ca_file: None,
            timeout_seconds: 5,
        }
    }
}

/// Requests a second. 0: no limit.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct RateLimits {
    /// Of a tenant.
    pub tenant_per_second: u32,
    /// How many a tenant may send at once.
    pub tenant_burst: u32,
    /// With one token.
    pub token_per_second: u32,
    /// How many may be sent with one token at once.
    pub token_burst: u32,
}

impl Default for RateLimits {
    fn default() -> Self {
        Self { tenant_per_second: 2_000, tenant_burst: 4_000, token_per_second: 1_000, token_burst: 2_000 }
    }
}

/// What events offer to others.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Events {
    /// The most feeds (`GET /v1/events`) of a tenant at a time.
    pub feeds_per_tenant: usize,
    /// How many seconds a feed may be silent before it says that it is there.
    pub heartbeat_seconds: u64,
}

impl Default for Events {
    fn default() -> Self {
        Self { feeds_per_tenant: 20, heartbeat_seconds: 15 }
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

/// What a GraphQL query may cost.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct GraphQl {
    /// The most levels of fields.
    pub depth: usize,
    /// The most fields, each counted as often as its lists may have rows.
    pub cost: u64,
    /// The most aliases.
    pub aliases: usize,
    /// The most seconds of a query.
    pub timeout_seconds: u64,
    /// The most seconds that a query waits for a read model to reach a position.
    pub wait_seconds: u64,
    /// The most subscriptions of one connection.
    pub subscriptions: usize,
}

impl Default for GraphQl {
    fn default() -> Self {
        Self { depth: 12, cost: 10_000, aliases: 30, timeout_seconds: 20, wait_seconds: 5, subscriptions: 20 }
    }
}

/// How many partitions read models have: a power of two.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(untagged, expecting = "a number (1, 2, 4, … 64), or a number for each of some projections, as {leads=4}")]
pub enum Partitions {
    /// All of them.
    All(u32),
    /// Some of them, by name.
    Each(BTreeMap<String, u32>),
}

/// Read models.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Projections {
    /// Into how many partitions `migrate` divides them; those that it does not speak of stay as they are.
    pub partitions: Option<Partitions>,
}

impl Projections {
    /// Into how many partitions a projection shall be divided; none: it stays as it is.
    pub fn partitions_of(&self, projection: &str) -> Option<u32> {
        match self.partitions.as_ref()? {
            Partitions::All(partitions) => Some(*partitions),
            Partitions::Each(each) => each.get(projection).copied(),
        }
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
    /// URLs of its `inopsio serve`, with commas between.
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
