//! The environment's names: each setting once, with what it means.

use serde_json::Value;

use crate::Config;

/// A setting that the environment can give.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Its variable. A secret can also come from the file that `<variable>_FILE` names.
    pub variable: &'static str,
    /// Its key in the file, by section.
    pub key: &'static str,
    /// What it means, for people.
    pub meaning: &'static str,
    /// Whether it must not be shown.
    pub secret: bool,
}

impl Setting {
    /// What holds when it is not set, as it would be set; empty: nothing.
    pub fn default(&self) -> String {
        match (self.place(), self.held()) {
            (("databases", service), _) => format!("inopsio_{service}"),
            (_, Value::Null) => String::new(),
            (_, Value::String(text)) => text,
            (_, value) => value.to_string(),
        }
    }

    /// Whether it is a text, whatever that looks like: a telephone number, or a user whose name is digits.
    pub(crate) fn is_text(&self) -> bool {
        // What is nothing by default is a text, but for this.
        matches!(self.held(), Value::String(_) | Value::Null) && self.key != "projections.partitions"
    }

    /// Its section, and what it is called there.
    fn place(&self) -> (&str, &str) {
        self.key.split_once('.').unwrap_or((self.key, ""))
    }

    /// What it holds by default.
    fn held(&self) -> Value {
        let defaults = serde_json::to_value(Config::default()).unwrap_or_default();
        let (section, key) = self.place();
        defaults[section][key].clone()
    }
}

const fn plain(variable: &'static str, key: &'static str, meaning: &'static str) -> Setting {
    Setting { variable, key, meaning, secret: false }
}

const fn secret(variable: &'static str, key: &'static str, meaning: &'static str) -> Setting {
    Setting { variable, key, meaning, secret: true }
}

/// Every setting, in the order of the sections.
pub const SETTINGS: &[Setting] = &[
    plain("INOPSIO_HOST", "http.host", "Address to listen on"),
    plain("INOPSIO_PORT", "http.port", "Port to listen on; 0: any free one"),
    plain(
        "INOPSIO_PUBLIC_URL",
        "http.public_url",
        "Where others reach us, as https://api.example.com: issuers and mailed links begin with it; empty: where we listen",
    ),
    plain("INOPSIO_BODY_LIMIT", "http.body_limit", "The most bytes of a JSON body"),
    plain("INOPSIO_UPLOAD_LIMIT", "http.upload_limit", "The most bytes of an uploaded file"),
    plain("INOPSIO_UPLOADS", "http.uploads", "How many uploaded files are held in memory at once; more get 503"),
    plain("INOPSIO_UPLOADS_OF_A_TENANT", "http.uploads_of_a_tenant", "How many of them may be one tenant's"),
    plain("INOPSIO_TIMEOUT_SECONDS", "http.timeout_seconds", "The most seconds that a request may take"),
    plain(
        "INOPSIO_IDLE_SECONDS",
        "http.idle_seconds",
        "After how many seconds in which nothing came or went a connection is closed",
    ),
    plain(
        "INOPSIO_DRAIN_SECONDS",
        "http.drain_seconds",
        "The most seconds that running requests get when the server stops",
    ),
    plain(
        "INOPSIO_TRUSTED_PROXIES",
        "http.trusted_proxies",
        "Proxies whose X-Forwarded-For says from where requests came, as [\"10.0.0.0/8\", \"192.0.2.7\"]; without them all who come through one have its address",
    ),
    plain(
        "INOPSIO_CORS_ORIGINS",
        "http.cors_origins",
        "Origins whose scripts may call us, as [\"https://app.example.com\"]",
    ),
    plain("INOPSIO_COMPRESSION", "http.compression", "Whether answers are compressed for clients that ask for it"),
    plain("INOPSIO_POSTGRES_HOST", "postgres.host", "Host name or address of Postgres"),
    plain("INOPSIO_POSTGRES_PORT", "postgres.port", "Port of Postgres"),
    plain("INOPSIO_POSTGRES_SOCKET", "postgres.socket", "Directory of Postgres' unix socket, used instead of the host"),
    plain("INOPSIO_POSTGRES_SSL_MODE", "postgres.ssl_mode", "disable, prefer, require, verify-ca or verify-full"),
    secret("INOPSIO_POSTGRES_PASSWORD", "postgres.password", "The password of all our roles"),
    secret(
        "INOPSIO_POSTGRES_ADMIN_URL",
        "postgres.admin_url",
        "URL of a role that may create databases and roles (migrate, rebuild)",
    ),
    plain("INOPSIO_POSTGRES_DIRECTORY", "postgres.directory", "Name of the directory of tenants' database"),
    secret(
        "INOPSIO_CLAIM_KEY",
        "postgres.claim_key",
        "64 hexadecimal digits under which unique values are hashed; the same for ever",
    ),
    plain("INOPSIO_CACHE_MIB", "postgres.cache_mib", "MiB of recent aggregates kept in memory, a service"),
    plain(
        "INOPSIO_SNAPSHOT_EVENTS",
        "postgres.snapshot_events",
        "After how many events an aggregate gets a snapshot, from which it is loaded later; 0: never",
    ),
    plain(
        "INOPSIO_APPEND_TIMEOUT_SECONDS",
        "postgres.append_timeout_seconds",
        "The most seconds that writing may take, the time of reconnecting included",
    ),
    plain(
        "INOPSIO_APPEND_QUEUE_MIB",
        "postgres.append_queue_mib",
        "MiB that may wait to be written, a service; more gets 503",
    ),
    plain("INOPSIO_NATS_URL", "nats.url", "URL of a nats-server; several of one cluster with commas between"),
    plain("INOPSIO_NATS_USER", "nats.user", "User at the nats-server"),
    secret("INOPSIO_NATS_PASSWORD", "nats.password", "Their password"),
    secret("INOPSIO_NATS_TOKEN", "nats.token", "A token, instead of user and password"),
    secret("INOPSIO_NATS_CREDS", "nats.creds", "The text of a .creds file, instead of user and password"),
    plain("INOPSIO_NATS_REPLICAS", "nats.replicas", "How many servers keep each stream: 1, 3 or 5"),
    secret(
        "INOPSIO_MASTER_KEY",
        "auth.master_key",
        "64 hexadecimal digits under which tenants' keys are wrapped, or where that key is in Vault, as transit:transit/inopsio",
    ),
    secret(
        "INOPSIO_FORMER_MASTER_KEY",
        "auth.former_master_key",
        "The one before it, which opens what it wrapped until inopsio key rewrap has wrapped that anew",
    ),
    plain(
        "INOPSIO_ACCESS_TOKEN_SECONDS",
        "auth.access_token_seconds",
        "How many seconds an access token of a tenant's issuer is valid",
    ),
    plain(
        "INOPSIO_KEY_OVERLAP_SECONDS",
        "auth.key_overlap_seconds",
        "For how many seconds a new signing key is only shown, before it signs",
    ),
    plain(
        "INOPSIO_KEY_ROTATION_DAYS",
        "auth.key_rotation_days",
        "After how many days a key that signs tokens is followed by another one by itself; 0: never",
    ),
    secret(
        "INOPSIO_SEAL_KEY",
        "audit.seal_key",
        "64 hexadecimal digits: the seed of the Ed25519 key that signs the heads of tenants' histories; none: nobody signs them",
    ),
    secret(
        "INOPSIO_AUTH_PUBLIC_KEY",
        "auth.public_key",
        "The Ed25519 public key that verifies tokens of inopsio token, as PEM",
    ),
    secret("INOPSIO_AUTH_SIGNING_KEY", "auth.signing_key", "The Ed25519 private key that mints tokens, as PEM (token)"),
    plain("INOPSIO_AUTH_ISSUER", "auth.issuer", "Who must have issued a token of inopsio token"),
    plain("INOPSIO_AUTH_AUDIENCE", "auth.audience", "For whom a token must be"),
    plain("INOPSIO_AUTH_LEEWAY_SECONDS", "auth.leeway_seconds", "How many seconds clocks may differ"),
    plain(
        "INOPSIO_BREACHES_URL",
        "auth.breaches_url",
        "Who tells which new passwords were seen in breaches, by five digits of their hashes, as https://api.pwnedpasswords.com/range; empty: nobody is asked",
    ),
    plain(
        "INOPSIO_VAULT_ADDRESS",
        "vault.address",
        "URL of Vault, for secrets given as vault:<mount>/<path>#<key> (KV version 2) and a master key given as transit:<mount>/<key>",
    ),
    secret(
        "INOPSIO_VAULT_TOKEN",
        "vault.token",
        "The token that may do that; its file is read again when it is written anew",
    ),
    plain("INOPSIO_VAULT_ROLE_ID", "vault.role_id", "The role that logs in (AppRole), instead of a token"),
    secret("INOPSIO_VAULT_SECRET_ID", "vault.secret_id", "What that role logs in with; its file is read at each login"),
    plain("INOPSIO_VAULT_APPROLE_MOUNT", "vault.approle_mount", "Where AppRole is mounted"),
    plain("INOPSIO_VAULT_NAMESPACE", "vault.namespace", "The namespace, where Vault has several"),
    plain(
        "INOPSIO_VAULT_CA_FILE",
        "vault.ca_file",
        "File with the authorities by whom Vault's certificate may be signed, PEM; empty: those of the machine",
    ),
    plain(
        "INOPSIO_VAULT_TIMEOUT_SECONDS",
        "vault.timeout_seconds",
        "The most seconds that Vault may take, repetitions included",
    ),
    plain("INOPSIO_RATE_TENANT", "rate_limits.tenant_per_second", "Requests a second of a tenant; 0: no limit"),
    plain("INOPSIO_RATE_TENANT_BURST", "rate_limits.tenant_burst", "How many a tenant may send at once"),
    plain("INOPSIO_RATE_TOKEN", "rate_limits.token_per_second", "Requests a second with one token; 0: no limit"),
    plain("INOPSIO_RATE_TOKEN_BURST", "rate_limits.token_burst", "How many may be sent with one token at once"),
    plain("INOPSIO_GRAPHQL_DEPTH", "graphql.depth", "The most levels of fields of a query"),
    plain(
        "INOPSIO_GRAPHQL_COST",
        "graphql.cost",
        "The most fields of a query, counted as often as lists may have rows",
    ),
    plain("INOPSIO_GRAPHQL_ALIASES", "graphql.aliases", "The most aliases of a query"),
    plain("INOPSIO_GRAPHQL_TIMEOUT_SECONDS", "graphql.timeout_seconds", "The most seconds of a query"),
    plain("INOPSIO_GRAPHQL_WAIT_SECONDS", "graphql.wait_seconds", "The most seconds that a query waits for a position"),
    plain("INOPSIO_GRAPHQL_SUBSCRIPTIONS", "graphql.subscriptions", "The most subscriptions of one connection"),
    plain("INOPSIO_EVENTS_FEEDS", "events.feeds_per_tenant", "The most feeds (GET /v1/events) of a tenant at a time"),
    plain(
        "INOPSIO_EVENTS_HEARTBEAT_SECONDS",
        "events.heartbeat_seconds",
        "How many seconds a feed may be silent before it says that it is there",
    ),
    plain(
        "INOPSIO_WEBHOOKS_ALLOW_PRIVATE",
        "webhooks.allow_private",
        "Whether webhooks may go to private addresses and over plain http: for development only",
    ),
    plain(
        "INOPSIO_WEBHOOKS_TIMEOUT_SECONDS",
        "webhooks.timeout_seconds",
        "The most seconds that a webhook's receiver may take to answer",
    ),
    plain(
        "INOPSIO_WEBHOOKS_DISABLE_AFTER_HOURS",
        "webhooks.disable_after_hours",
        "After how many hours without success a webhook is disabled",
    ),
    plain(
        "INOPSIO_PROJECTION_PARTITIONS",
        "projections.partitions",
        "Partitions of each read model, 1 to 64, or of some as {leads=4, contacts=2}; `inopsio migrate` divides them",
    ),
    secret(
        "INOPSIO_SMTP_URL",
        "mail.smtp_url",
        "The mail server, as smtps://user:password@host or smtp://host:587?tls=required; empty: nothing is mailed",
    ),
    plain("INOPSIO_MAIL_FROM", "mail.from", "Whom mail is from, as Inopsio <no-reply@example.com>"),
    plain(
        "INOPSIO_MAIL_CATCH",
        "mail.catch",
        "Whether mail is kept to be looked at (/dev/mail) instead of being sent: for development only",
    ),
    secret(
        "INOPSIO_TEXTS_URL",
        "texts.url",
        "Who sends text messages, as https://<account>:<token>@api.twilio.com/2010-04-01/Accounts/<account>/Messages.json or another that speaks Twilio's Messages API; empty: none are sent",
    ),
    plain(
        "INOPSIO_TEXTS_FROM",
        "texts.from",
        "Whom text messages are from: a number as +4930123456, a name of up to 11 letters, or the id of a messaging service (MG…)",
    ),
    plain(
        "INOPSIO_TEXTS_PREFIXES",
        "texts.prefixes",
        "How the numbers begin to which text messages go, as [\"+49\", \"+43\"]; none: all of them",
    ),
    plain(
        "INOPSIO_TEXTS_TENANT_PER_HOUR",
        "texts.tenant_per_hour",
        "The most text messages that go out for a tenant in an hour",
    ),
    plain(
        "INOPSIO_TEXTS_CATCH",
        "texts.catch",
        "Whether text messages are kept to be looked at (/dev/mail) instead of being sent: for development only",
    ),
    plain(
        "INOPSIO_NAME_SERVERS",
        "names.servers",
        "Name servers that are asked for the records of claimed domains, as [\"192.0.2.53\", \"192.0.2.54:5353\"]; none: the system's",
    ),
    plain(
        "INOPSIO_VERIFIED_DOMAINS_ONLY",
        "names.verified_domains_only",
        "Whether identity providers are connected for domains only that the tenant has verified",
    ),
    plain(
        "INOPSIO_OPERATORS_TENANT",
        "operators.tenant",
        "Id of the tenant whose administrators may ask for what touches all tenants, such as rebuilds; none: nobody may",
    ),
    plain("INOPSIO_LOG", "log.filter", "What is logged, for example info or info,gateway=debug"),
    plain("INOPSIO_LOG_FORMAT", "log.format", "auto (readable on a terminal, JSON otherwise), text or json"),
    plain(
        "INOPSIO_OTLP_ENDPOINT",
        "telemetry.otlp_endpoint",
        "Where traces go by OTLP over gRPC, as http://127.0.0.1:4317",
    ),
    plain("INOPSIO_TRACE_SAMPLE", "telemetry.sample", "The share of requests that are traced, 0 to 1"),
    plain(
        "INOPSIO_REMOTE_CRM",
        "remotes.crm",
        "URLs of the service crm's instances, with commas between, if it does not run in this process",
    ),
    plain("INOPSIO_REMOTE_AUTH", "remotes.auth", "The same for the service auth"),
    plain("INOPSIO_REMOTE_USER", "remotes.user", "The same for the service user"),
    plain(
        "INOPSIO_CELL",
        "directory.cell",
        "The cell that this process belongs to, where tenants are spread over several: those that are made here live in it",
    ),
    secret(
        "INOPSIO_DIRECTORY_URL",
        "directory.url",
        "URL of the directory of tenants' database, where several cells share one; empty: in this Postgres",
    ),
    plain("INOPSIO_DATABASE_AUTH", "databases.auth", "Name of the service auth's database"),
    plain("INOPSIO_DATABASE_CRM", "databases.crm", "Name of the service crm's database"),
    plain("INOPSIO_DATABASE_USER", "databases.user", "Name of the service user's database"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_holds_by_default_is_shown_as_it_would_be_set() {
        let default = |variable: &str| SETTINGS.iter().find(|setting| setting.variable == variable).unwrap().default();
        assert_eq!(default("INOPSIO_PORT"), "8080");
        assert_eq!(default("INOPSIO_COMPRESSION"), "true");
        assert_eq!(default("INOPSIO_POSTGRES_SSL_MODE"), "prefer");
        assert_eq!(default("INOPSIO_OTLP_ENDPOINT"), "");
        assert_eq!(default("INOPSIO_MASTER_KEY"), "");
        assert_eq!(default("INOPSIO_DATABASE_CRM"), "inopsio_crm");
    }
}
