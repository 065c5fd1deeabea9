//! The table of all settings that have an environment variable, with their meanings.

use serde_json::Value;

use crate::Config;

/// A setting that an environment variable can set.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Its variable. A secret can also be read from the file that `<variable>_FILE` names.
    pub variable: &'static str,
    /// Its key in the file: `<section>.<name>`.
    pub key: &'static str,
    /// Its description.
    pub meaning: &'static str,
    /// Whether its value must never be shown.
    pub secret: bool,
}

impl Setting {
    /// Its default value as text; empty if it has none.
    pub fn default(&self) -> String {
        match (self.place(), self.default_value()) {
            (("databases", service), _) => format!("inopsio_{service}"),
            (_, Value::Null) => String::new(),
            (_, Value::String(text)) => text,
            (_, value) => value.to_string(),
        }
    }

    /// Whether it is a text even if its value looks like a number, such as a telephone number.
    pub(crate) fn is_text(&self) -> bool {
        // A setting without a default is a text: all others have a default of their type.
        matches!(self.default_value(), Value::String(_) | Value::Null)
    }

    /// Its section and its name in the section.
    fn place(&self) -> (&str, &str) {
        self.key.split_once('.').unwrap_or((self.key, ""))
    }

    /// Its default value.
    fn default_value(&self) -> Value {
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
        "Public base URL, such as https://api.example.com, used in token issuers and mailed links; empty: the listening address",
    ),
    plain("INOPSIO_BODY_LIMIT", "http.body_limit", "Maximum size of a JSON body, in bytes"),
    plain("INOPSIO_UPLOAD_LIMIT", "http.upload_limit", "Maximum size of an uploaded file, in bytes"),
    plain("INOPSIO_UPLOADS", "http.uploads", "Maximum number of uploads held in memory at once; further ones get 503"),
    plain("INOPSIO_UPLOADS_OF_A_TENANT", "http.uploads_of_a_tenant", "Maximum number of those uploads per tenant"),
    plain("INOPSIO_TIMEOUT_SECONDS", "http.timeout_seconds", "Request timeout in seconds"),
    plain("INOPSIO_IDLE_SECONDS", "http.idle_seconds", "Idle timeout of a connection in seconds"),
    plain(
        "INOPSIO_DRAIN_SECONDS",
        "http.drain_seconds",
        "Seconds that running requests have to finish when the server stops",
    ),
    plain(
        "INOPSIO_TRUSTED_PROXIES",
        "http.trusted_proxies",
        "Proxies whose X-Forwarded-For header is trusted for the client's address, such as [\"10.0.0.0/8\", \"192.0.2.7\"]; clients behind other proxies have the proxy's address",
    ),
    plain(
        "INOPSIO_CORS_ORIGINS",
        "http.cors_origins",
        "Origins allowed by CORS, such as [\"https://app.example.com\"]; [\"*\"]: all",
    ),
    plain("INOPSIO_COMPRESSION", "http.compression", "Whether to compress responses for clients that accept it"),
    plain("INOPSIO_POSTGRES_HOST", "postgres.host", "Host name or address of Postgres"),
    plain("INOPSIO_POSTGRES_PORT", "postgres.port", "Port of Postgres"),
    plain("INOPSIO_POSTGRES_SOCKET", "postgres.socket", "Directory of Postgres' unix socket, used instead of the host"),
    plain(
        "INOPSIO_POSTGRES_SSL_MODE",
        "postgres.ssl_mode",
        "TLS to Postgres: disable, prefer, require, verify-ca or verify-full",
    ),
    secret("INOPSIO_POSTGRES_PASSWORD", "postgres.password", "Password of all Inopsio roles in Postgres"),
    secret(
        "INOPSIO_POSTGRES_ADMIN_URL",
        "postgres.admin_url",
        "URL of a role that may create databases and roles; needed only by migrate, restore, archive, and to rebuild or compare read models",
    ),
    plain("INOPSIO_POSTGRES_DIRECTORY", "postgres.directory", "Name of the database with the directory of tenants"),
    secret(
        "INOPSIO_CLAIM_KEY",
        "postgres.claim_key",
        "Key that hashes unique values, 64 hexadecimal digits; can't be changed later",
    ),
    plain("INOPSIO_CACHE_MIB", "postgres.cache_mib", "Cache of recent aggregates in memory, in MiB per service"),
    plain(
        "INOPSIO_SNAPSHOT_EVENTS",
        "postgres.snapshot_events",
        "Number of events after which a snapshot of an aggregate is stored; 0: never",
    ),
    plain(
        "INOPSIO_APPEND_TIMEOUT_SECONDS",
        "postgres.append_timeout_seconds",
        "Timeout of a write to the log in seconds, including reconnects",
    ),
    plain(
        "INOPSIO_APPEND_QUEUE_MIB",
        "postgres.append_queue_mib",
        "Maximum size of the queue of writes, in MiB per service; further writes get 503",
    ),
    plain(
        "INOPSIO_NATS_URL",
        "nats.url",
        "URL of the nats-server, or of several servers of one cluster, separated by commas",
    ),
    plain("INOPSIO_NATS_USER", "nats.user", "User name for the nats-server"),
    secret("INOPSIO_NATS_PASSWORD", "nats.password", "Password of that user"),
    secret("INOPSIO_NATS_TOKEN", "nats.token", "Token for the nats-server, instead of user and password"),
    secret(
        "INOPSIO_NATS_CREDS",
        "nats.creds",
        "Content of a .creds file for the nats-server, instead of user and password",
    ),
    plain("INOPSIO_NATS_REPLICAS", "nats.replicas", "Number of replicas of each stream: 1, 3 or 5"),
    secret(
        "INOPSIO_MASTER_KEY",
        "auth.master_key",
        "Master key that wraps tenants' keys: 64 hexadecimal digits, or its place in Vault, such as transit:transit/inopsio",
    ),
    secret(
        "INOPSIO_FORMER_MASTER_KEY",
        "auth.former_master_key",
        "Previous master key, needed to unwrap keys until inopsio key rewrap has rewrapped all of them",
    ),
    plain(
        "INOPSIO_ACCESS_TOKEN_SECONDS",
        "auth.access_token_seconds",
        "Lifetime in seconds of access tokens of a tenant's issuer",
    ),
    plain(
        "INOPSIO_KEY_OVERLAP_SECONDS",
        "auth.key_overlap_seconds",
        "Seconds for which a new signing key is published before it signs",
    ),
    plain(
        "INOPSIO_KEY_ROTATION_DAYS",
        "auth.key_rotation_days",
        "Number of days after which the key that signs tokens is rotated automatically; 0: never",
    ),
    secret(
        "INOPSIO_AUTH_PUBLIC_KEY",
        "auth.public_key",
        "Ed25519 public key that verifies tokens of inopsio token, as PEM",
    ),
    secret(
        "INOPSIO_AUTH_SIGNING_KEY",
        "auth.signing_key",
        "Ed25519 private key that signs tokens of inopsio token, as PEM; needed only by that command",
    ),
    plain("INOPSIO_AUTH_ISSUER", "auth.issuer", "Required issuer (iss) of tokens of inopsio token"),
    plain("INOPSIO_AUTH_AUDIENCE", "auth.audience", "Required audience (aud) of a token"),
    plain(
        "INOPSIO_AUTH_LEEWAY_SECONDS",
        "auth.leeway_seconds",
        "Allowed clock difference in seconds when a token is verified",
    ),
    plain(
        "INOPSIO_BREACHES_URL",
        "auth.breaches_url",
        "Service that checks new passwords for known breaches, given five digits of their hashes, such as https://api.pwnedpasswords.com/range; empty: no check",
    ),
    secret(
        "INOPSIO_SEAL_KEY",
        "audit.seal_key",
        "Seed of the Ed25519 key that seals (signs) tenants' histories, 64 hexadecimal digits; empty: they are not sealed",
    ),
    plain(
        "INOPSIO_VAULT_ADDRESS",
        "vault.address",
        "URL of Vault, for secrets given as vault:<mount>/<path>#<key> (KV version 2) and a master key given as transit:<mount>/<key>",
    ),
    secret("INOPSIO_VAULT_TOKEN", "vault.token", "Token for Vault; its file is read again when it changes"),
    plain("INOPSIO_VAULT_ROLE_ID", "vault.role_id", "AppRole role for logging in to Vault, instead of a token"),
    secret("INOPSIO_VAULT_SECRET_ID", "vault.secret_id", "Secret id of that role; its file is read at each login"),
    plain("INOPSIO_VAULT_APPROLE_MOUNT", "vault.approle_mount", "Mount path of AppRole in Vault"),
    plain("INOPSIO_VAULT_NAMESPACE", "vault.namespace", "Namespace in Vault, if it has several"),
    plain(
        "INOPSIO_VAULT_CA_FILE",
        "vault.ca_file",
        "File with trusted certificate authorities for Vault, as PEM; empty: those of the machine",
    ),
    plain(
        "INOPSIO_VAULT_TIMEOUT_SECONDS",
        "vault.timeout_seconds",
        "Timeout of a request to Vault in seconds, including retries",
    ),
    plain("INOPSIO_RATE_TENANT", "rate_limits.tenant_per_second", "Requests per second per tenant; 0: no limit"),
    plain("INOPSIO_RATE_TENANT_BURST", "rate_limits.tenant_burst", "Burst of requests per tenant"),
    plain("INOPSIO_RATE_TOKEN", "rate_limits.token_per_second", "Requests per second per token; 0: no limit"),
    plain("INOPSIO_RATE_TOKEN_BURST", "rate_limits.token_burst", "Burst of requests per token"),
    plain("INOPSIO_GRAPHQL_DEPTH", "graphql.depth", "Maximum depth of a query"),
    plain(
        "INOPSIO_GRAPHQL_COST",
        "graphql.cost",
        "Maximum cost of a query: its fields, each multiplied by the page sizes of the lists around it",
    ),
    plain("INOPSIO_GRAPHQL_ALIASES", "graphql.aliases", "Maximum number of aliases in a query"),
    plain("INOPSIO_GRAPHQL_TIMEOUT_SECONDS", "graphql.timeout_seconds", "Query timeout in seconds"),
    plain(
        "INOPSIO_GRAPHQL_WAIT_SECONDS",
        "graphql.wait_seconds",
        "Maximum time in seconds that a query waits for a read model to reach a position",
    ),
    plain("INOPSIO_GRAPHQL_SUBSCRIPTIONS", "graphql.subscriptions", "Maximum number of subscriptions per connection"),
    plain(
        "INOPSIO_EVENTS_FEEDS",
        "events.feeds_per_tenant",
        "Maximum number of concurrent feeds (GET /v1/events) per tenant",
    ),
    plain(
        "INOPSIO_EVENTS_HEARTBEAT_SECONDS",
        "events.heartbeat_seconds",
        "Interval in seconds after which an idle feed sends a heartbeat",
    ),
    plain(
        "INOPSIO_WEBHOOKS_ALLOW_PRIVATE",
        "webhooks.allow_private",
        "Whether to allow webhooks to private addresses and over plain http; for development only",
    ),
    plain("INOPSIO_WEBHOOKS_TIMEOUT_SECONDS", "webhooks.timeout_seconds", "Timeout of a webhook delivery in seconds"),
    plain(
        "INOPSIO_WEBHOOKS_DISABLE_AFTER_HOURS",
        "webhooks.disable_after_hours",
        "Number of hours without success after which a webhook is disabled",
    ),
    plain(
        "INOPSIO_PROJECTION_PARTITIONS",
        "projections.partitions",
        "Number of partitions of each read model, a power of two up to 64, or of some, such as {leads=4, contacts=2}; `inopsio migrate` divides them",
    ),
    secret(
        "INOPSIO_SMTP_URL",
        "mail.smtp_url",
        "Mail server, such as smtps://user:password@host or smtp://host:587?tls=required; empty: no mail is sent",
    ),
    plain("INOPSIO_MAIL_FROM", "mail.from", "Sender of mail, such as Inopsio <no-reply@example.com>"),
    plain(
        "INOPSIO_MAIL_CATCH",
        "mail.catch",
        "Whether to show mail at /dev/mail instead of sending it; for development only",
    ),
    secret(
        "INOPSIO_TEXTS_URL",
        "texts.url",
        "Text message provider, such as https://<account>:<token>@api.twilio.com/2010-04-01/Accounts/<account>/Messages.json or another with Twilio's Messages API; empty: none are sent",
    ),
    plain(
        "INOPSIO_TEXTS_FROM",
        "texts.from",
        "Sender of text messages: a number such as +4930123456, a name of up to 11 letters, or the id of a messaging service (MG…)",
    ),
    plain(
        "INOPSIO_TEXTS_PREFIXES",
        "texts.prefixes",
        "Prefixes of the numbers to which text messages may be sent, such as [\"+49\", \"+43\"]; empty: all numbers",
    ),
    plain(
        "INOPSIO_TEXTS_TENANT_PER_HOUR",
        "texts.tenant_per_hour",
        "Maximum number of text messages per tenant per hour",
    ),
    plain(
        "INOPSIO_TEXTS_CATCH",
        "texts.catch",
        "Whether to show text messages at /dev/mail instead of sending them; for development only",
    ),
    plain(
        "INOPSIO_NAME_SERVERS",
        "names.servers",
        "Name servers that resolve the records of claimed domains, such as [\"192.0.2.53\", \"192.0.2.54:5353\"]; empty: those of the system",
    ),
    plain(
        "INOPSIO_VERIFIED_DOMAINS_ONLY",
        "names.verified_domains_only",
        "Whether identity providers can be connected only for domains that the tenant has verified",
    ),
    plain(
        "INOPSIO_OPERATORS_TENANT",
        "operators.tenant",
        "Id of the tenant whose administrators may start operations that affect all tenants, such as rebuilds; empty: nobody may",
    ),
    plain("INOPSIO_LOG", "log.filter", "Log filter, such as info or info,gateway=debug"),
    plain(
        "INOPSIO_LOG_FORMAT",
        "log.format",
        "Log format: auto (readable on a terminal, JSON otherwise), text or json",
    ),
    plain(
        "INOPSIO_OTLP_ENDPOINT",
        "telemetry.otlp_endpoint",
        "OTLP endpoint (gRPC) for traces, such as http://127.0.0.1:4317; empty: none are exported",
    ),
    plain("INOPSIO_TRACE_SAMPLE", "telemetry.sample", "Share of requests that are traced, 0 to 1"),
    plain(
        "INOPSIO_REMOTE_CRM",
        "remotes.crm",
        "URLs of the instances of the crm service, separated by commas, if it does not run in this process",
    ),
    plain(
        "INOPSIO_REMOTE_AUTH",
        "remotes.auth",
        "URLs of the instances of the auth service, separated by commas, if it does not run in this process",
    ),
    plain(
        "INOPSIO_REMOTE_USER",
        "remotes.user",
        "URLs of the instances of the user service, separated by commas, if it does not run in this process",
    ),
    plain(
        "INOPSIO_CELL",
        "directory.cell",
        "Cell of this process, if tenants are spread over several cells; tenants created here live in it",
    ),
    secret(
        "INOPSIO_DIRECTORY_URL",
        "directory.url",
        "URL of the database with the directory of tenants, if several cells share one; empty: in this Postgres",
    ),
    plain("INOPSIO_DATABASE_AUTH", "databases.auth", "Name of the auth service's database"),
    plain("INOPSIO_DATABASE_CRM", "databases.crm", "Name of the crm service's database"),
    plain("INOPSIO_DATABASE_USER", "databases.user", "Name of the user service's database"),
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
        assert_eq!(default("INOPSIO_PROJECTION_PARTITIONS"), "{}");
    }
}
