//! Reading the configuration.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::str::FromStr as _;

use figment::error::Kind;
use figment::providers::{Format as _, Toml};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};
use kernel::{Service, is_slug};

use crate::{Config, NameSettings, Partitions, SETTINGS, kv, master};

/// A configuration that can't be used; its text says key, value, where it is from, and what is allowed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub String);

/// Secrets whose files somebody writes anew while we run: the file is remembered, too.
const READ_AGAIN: [&str; 2] = ["vault.token", "vault.secret_id"];

/// What a program has that its configuration may speak of by name.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Its services.
    pub services: Vec<Service>,
    /// The names of their read models.
    pub projections: Vec<&'static str>,
}

pub(crate) fn load(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (String, String)>,
    flags: impl IntoIterator<Item = (&'static str, String)>,
    known: &Known,
) -> Result<Config, ConfigError> {
    let mut figment = Figment::new();
    if let Some(file) = file {
        if !file.exists() {
            return Err(ConfigError(format!("the configuration file {} does not exist", file.display())));
        }
        figment = figment.merge(Toml::file_exact(file));
    }
    let environment: BTreeMap<String, String> = environment.into_iter().collect();
    let mut from_environment = Values::new("the environment");
    for setting in SETTINGS {
        let file = format!("{}_file", setting.key);
        if let Some(text) = environment.get(setting.variable) {
            from_environment.set(setting.key, text);
            if READ_AGAIN.contains(&setting.key) {
                from_environment.set(&file, "");
            }
        } else if setting.secret
            && let Some(path) = environment.get(&format!("{}_FILE", setting.variable))
        {
            let text = std::fs::read_to_string(path)
                .map_err(|error| ConfigError(format!("{}_FILE names {path:?}: {error}", setting.variable)))?;
            from_environment.set(setting.key, text.trim_end());
            if READ_AGAIN.contains(&setting.key) {
                from_environment.set(&file, path);
            }
        }
    }
    let mut from_flags = Values::new("the command line");
    for (key, value) in flags {
        from_flags.set(key, &value);
    }
    let figment = figment.merge(from_environment).merge(from_flags);
    let from_vault = kv::secrets(&figment)?;
    let config: Config = figment.merge(from_vault).extract().map_err(|error| ConfigError(explain(&error)))?;
    check(&config, known)?;
    Ok(config)
}

/// Values of one source, by key.
pub(crate) struct Values {
    source: &'static str,
    values: Dict,
}

impl Values {
    pub(crate) fn new(source: &'static str) -> Self {
        Self { source, values: Dict::new() }
    }

    pub(crate) fn set(&mut self, key: &str, text: &str) {
        let setting = SETTINGS.iter().find(|setting| setting.key == key);
        // Secrets are text whatever they look like; the rest is read like a TOML value, or taken as text.
        let value = if setting.is_some_and(|setting| setting.secret) {
            Value::from(text)
        } else {
            text.parse().unwrap_or_else(|_| Value::from(text))
        };
        let mut parts: Vec<&str> = key.split('.').collect();
        let Some(last) = parts.pop() else { return };
        let mut dict = &mut self.values;
        for part in parts {
            let entry = dict.entry(part.to_owned()).or_insert_with(|| Value::from(Dict::new()));
            if let Value::Dict(_, inner) = entry {
                dict = inner;
            } else {
                return;
            }
        }
        dict.insert(last.to_owned(), value);
    }
}

impl Provider for Values {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.source)
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(self.values.clone()))
    }
}

pub(crate) fn explain(error: &figment::Error) -> String {
    let mut text = String::new();
    for error in error.clone() {
        let key = error.path.join(".");
        let setting = SETTINGS.iter().find(|setting| setting.key == key);
        let source =
            error.metadata.as_ref().map_or_else(|| "the configuration".into(), |metadata| metadata.name.clone());
        if !text.is_empty() {
            text.push('\n');
        }
        let variable = setting.map(|setting| format!(" ({})", setting.variable)).unwrap_or_default();
        let _ = match &error.kind {
            Kind::InvalidType(found, wanted) | Kind::InvalidValue(found, wanted) => {
                let shown =
                    if setting.is_some_and(|setting| setting.secret) { "(secret)".into() } else { found.to_string() };
                write!(text, "{key}{variable}: {shown} from {source} is not allowed; allowed is {wanted}")
            }
            Kind::UnknownVariant(found, allowed) => {
                write!(
                    text,
                    "{key}{variable}: {found:?} from {source} is not allowed; allowed are {}",
                    allowed.join(", ")
                )
            }
            Kind::UnknownField(found, allowed) => {
                write!(text, "{source} has an unknown key {found:?}; allowed there are {}", allowed.join(", "))
            }
            other => write!(text, "{key}{variable} from {source}: {other}"),
        };
    }
    text
}

/// What types can't say.
fn check(config: &Config, known: &Known) -> Result<(), ConfigError> {
    let refuse = |key: &str, value: &str, allowed: &str| {
        // Not all have one: a cell's settings stand in the file only.
        let variable = SETTINGS.iter().find(|setting| setting.key == key);
        let variable = variable.map(|setting| format!(" ({})", setting.variable)).unwrap_or_default();
        Err(ConfigError(format!("{key}{variable}: {value} is not allowed; allowed is {allowed}")))
    };
    if !(0.0..=1.0).contains(&config.telemetry.sample) {
        return refuse("telemetry.sample", &config.telemetry.sample.to_string(), "a number from 0 to 1");
    }
    if ![1, 3, 5].contains(&config.nats.replicas) {
        return refuse("nats.replicas", &config.nats.replicas.to_string(), "1, 3 or 5");
    }
    if config.webhooks.timeout_seconds == 0 {
        return refuse("webhooks.timeout_seconds", "0", "a number of seconds from 1");
    }
    if config.events.heartbeat_seconds == 0 {
        return refuse("events.heartbeat_seconds", "0", "a number of seconds from 1");
    }
    if config.http.timeout_seconds == 0 {
        return refuse("http.timeout_seconds", "0", "a number of seconds from 1");
    }
    let digits = |prefix: &str| {
        prefix
            .strip_prefix('+')
            .is_some_and(|rest| (1..=15).contains(&rest.len()) && rest.bytes().all(|b| b.is_ascii_digit()))
    };
    if let Some(wrong) = config.texts.prefixes.iter().find(|prefix| !digits(prefix)) {
        return refuse("texts.prefixes", &format!("{wrong:?}"), "beginnings of numbers such as [\"+49\", \"+43\"]");
    }
    let breaches = &config.auth.breaches_url;
    if !breaches.is_empty() && !["http://", "https://"].iter().any(|scheme| breaches.starts_with(scheme)) {
        let allowed = "a URL such as https://api.pwnedpasswords.com/range";
        return refuse("auth.breaches_url", &format!("{breaches:?}"), allowed);
    }
    if let Err(wrong) = config.http.proxies() {
        let allowed = "addresses and networks, such as [\"10.0.0.7\", \"fd00::/8\"]";
        return refuse("http.trusted_proxies", &format!("{wrong:?}"), allowed);
    }
    for (key, count) in
        [("http.uploads", config.http.uploads), ("http.uploads_of_a_tenant", config.http.uploads_of_a_tenant)]
    {
        if count == 0 {
            return refuse(key, "0", "a number from 1");
        }
    }
    if config.postgres.append_timeout_seconds == 0 {
        return refuse("postgres.append_timeout_seconds", "0", "a number of seconds from 1");
    }
    if !(1..=2048).contains(&config.postgres.append_queue_mib) {
        let found = config.postgres.append_queue_mib.to_string();
        return refuse("postgres.append_queue_mib", &found, "a number from 1 to 2048");
    }
    let partitions = match &config.projections.partitions {
        None => BTreeMap::new(),
        Some(Partitions::All(partitions)) => BTreeMap::from([(String::new(), *partitions)]),
        Some(Partitions::Each(each)) => each.clone(),
    };
    for (name, partitions) in partitions {
        if !(partitions.is_power_of_two() && partitions <= projector::MAX_PARTITIONS) {
            return refuse("projections.partitions", &partitions.to_string(), "1, 2, 4, 8, 16, 32 or 64");
        }
        if !name.is_empty() && !known.projections.contains(&name.as_str()) {
            return refuse("projections.partitions", &format!("{name:?}"), &known.projections.join(", "));
        }
    }
    if !config.postgres.claim_key.is_empty() && claim_key(config).is_none() {
        return refuse("postgres.claim_key", "(secret)", "64 hexadecimal digits");
    }
    for (service, urls) in &config.remotes {
        let key = format!("remotes.{service}");
        if !known.services.iter().any(|known| known.name() == service) {
            let names: Vec<_> = known.services.iter().map(|known| format!("remotes.{}", known.name())).collect();
            return refuse(&key, &format!("{urls:?}"), &names.join(", "));
        }
        if remote_urls(urls).is_none() {
            let allowed = "URLs such as http://10.0.0.7:8080, with commas between";
            return refuse(&key, &format!("{urls:?}"), allowed);
        }
    }
    if let Some(cell) = config.directory.cell.as_deref().filter(|cell| !is_slug(cell)) {
        return refuse("directory.cell", &format!("{cell:?}"), "2 to 40 lower-case letters, digits and hyphens");
    }
    if !config.directory.url.is_empty()
        && sqlx::postgres::PgConnectOptions::from_str(config.directory.url.reveal()).is_err()
    {
        let allowed = "a URL such as postgres://inopsio_directory:password@10.0.0.7/inopsio_directory";
        return refuse("directory.url", "(secret)", allowed);
    }
    if config.cells.len() > 1 && config.directory.cell.as_ref().is_none_or(|home| !config.cells.contains_key(home)) {
        let names: Vec<_> = config.cells.keys().map(String::as_str).collect();
        let found = config.directory.cell.as_deref().unwrap_or("(none)");
        let allowed = format!("where tenants live of whom no cell was noted: {}", names.join(", "));
        return refuse("directory.cell", found, &allowed);
    }
    for (name, cell) in &config.cells {
        if !is_slug(name) {
            return refuse(&format!("cells.{name}"), "its name", "2 to 40 lower-case letters, digits and hyphens");
        }
        if remote_urls(&cell.urls).is_none() {
            let allowed = "URLs such as http://10.0.0.7:8080, with commas between";
            return refuse(&format!("cells.{name}.urls"), &format!("{:?}", cell.urls), allowed);
        }
    }
    if !(1..=60).contains(&config.vault.timeout_seconds) {
        return refuse("vault.timeout_seconds", &config.vault.timeout_seconds.to_string(), "a number from 1 to 60");
    }
    master::check(config)?;
    if !config.audit.seal_key.is_empty() && config.seal_key().is_none() {
        return refuse("audit.seal_key", "(secret)", "64 hexadecimal digits");
    }
    if !(10..=86_400).contains(&config.auth.access_token_seconds) {
        let found = config.auth.access_token_seconds.to_string();
        return refuse("auth.access_token_seconds", &found, "a number from 10 to 86400");
    }
    if !is_origin(&config.http.public_url) {
        let found = format!("{:?}", config.http.public_url);
        return refuse("http.public_url", &found, "a URL such as https://api.example.com, without a path");
    }
    for server in &config.names.servers {
        if let Err(text) = NameSettings::server(server) {
            let allowed =
                "addresses of name servers, with a port or without, such as [\"192.0.2.53\", \"192.0.2.54:5353\"]";
            return refuse("names.servers", &format!("{text:?}"), allowed);
        }
    }
    for origin in &config.http.cors_origins {
        // As browsers say it, letter for letter: another one would allow nobody.
        if origin != "*" && (origin.is_empty() || !is_origin(origin)) {
            return refuse(
                "http.cors_origins",
                &format!("{origin:?}"),
                "origins such as https://app.example.com (scheme, host and port, nothing after it), or *",
            );
        }
    }
    Ok(())
}

/// The URLs of a service's instances: host and port, nothing else; none when there is none, or one can't be used.
pub(crate) fn remote_urls(text: &str) -> Option<Vec<http::Uri>> {
    let url = |text: &str| {
        let uri: http::Uri = text.trim().parse().ok()?;
        let plain = uri.scheme_str() == Some("http") && matches!(uri.path(), "" | "/") && uri.query().is_none();
        (plain && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))).then_some(uri)
    };
    text.split(',').map(url).collect()
}

/// Whether a text is nothing, or scheme and authority of a URL and no more.
fn is_origin(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    text.is_empty()
        || rest.is_some_and(|rest| {
            !rest.is_empty() && !rest.contains(|c: char| !c.is_ascii_graphic() || ['/', '?', '#', '@'].contains(&c))
        })
}

/// The bytes of the key under which claims are hashed; none when it is not set.
pub fn claim_key(config: &Config) -> Option<[u8; 32]> {
    let mut key = [0; 32];
    hex::decode_to_slice(config.postgres.claim_key.reveal(), &mut key).ok().map(|()| key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Known {
        let services = ["auth", "crm", "user"].map(Service::new);
        Known { services: services.into(), projections: vec!["accounts", "contacts", "leads"] }
    }

    fn from(environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        load(None, environment, [], &known())
    }

    #[test]
    fn flags_win_over_the_environment() {
        let environment = [("INOPSIO_PORT".to_owned(), "9000".to_owned())];
        assert_eq!(load(None, environment.clone(), [], &known()).unwrap().http.port, 9000);
        assert_eq!(load(None, environment, [("http.port", "9001".to_owned())], &known()).unwrap().http.port, 9001);
    }

    #[test]
    fn a_bad_value_is_named_with_its_key_and_what_is_allowed() {
        let cases: [(&str, &str, &[&str]); 25] = [
            ("INOPSIO_VAULT_TIMEOUT_SECONDS", "0", &["vault.timeout_seconds", "0", "1 to 60"]),
            ("INOPSIO_MASTER_KEY", "transit:t/k", &["auth.master_key", "INOPSIO_VAULT_TOKEN", "INOPSIO_VAULT_ROLE_ID"]),
            ("INOPSIO_CORS_ORIGINS", "[\"app.example.com\"]", &["http.cors_origins", "app.example.com", "https://"]),
            ("INOPSIO_CORS_ORIGINS", "[\"https://app.example.com/\"]", &["http.cors_origins", "nothing after it"]),
            ("INOPSIO_TEXTS_PREFIXES", "[\"49\"]", &["texts.prefixes", "49", "+49"]),
            ("INOPSIO_TEXTS_TENANT_PER_HOUR", "0", &["texts.tenant_per_hour", "0", "nonzero"]),
            ("INOPSIO_CELL", "East!", &["directory.cell", "East!", "lower-case letters"]),
            ("INOPSIO_DIRECTORY_URL", "nowhere", &["directory.url", "(secret)", "postgres://"]),
            ("INOPSIO_PUBLIC_URL", "https://a.example/b", &["http.public_url", "a.example/b", "without a path"]),
            ("INOPSIO_NAME_SERVERS", "[\"ns.example\"]", &["names.servers", "ns.example", "addresses"]),
            ("INOPSIO_ACCESS_TOKEN_SECONDS", "1", &["auth.access_token_seconds", "1", "10 to 86400"]),
            ("INOPSIO_UPLOADS", "0", &["http.uploads", "0", "from 1"]),
            ("INOPSIO_APPEND_TIMEOUT_SECONDS", "0", &["postgres.append_timeout_seconds", "0", "from 1"]),
            ("INOPSIO_APPEND_QUEUE_MIB", "4096", &["postgres.append_queue_mib", "4096", "1 to 2048"]),
            ("INOPSIO_PORT", "80800", &["http.port", "INOPSIO_PORT", "80800", "u16"]),
            ("INOPSIO_PORT", "many", &["http.port", "many"]),
            ("INOPSIO_LOG_FORMAT", "xml", &["log.format", "xml", "auto", "text", "json"]),
            ("INOPSIO_NATS_REPLICAS", "2", &["nats.replicas", "2", "1, 3 or 5"]),
            ("INOPSIO_REMOTE_CRM", "10.0.0.7:8080", &["remotes.crm", "INOPSIO_REMOTE_CRM", "http://10.0.0.7:8080"]),
            ("INOPSIO_REMOTE_CRM", "http://10.0.0.7:8080,", &["remotes.crm", "with commas between"]),
            ("INOPSIO_REMOTE_CRM", "http://10.0.0.7/v1", &["remotes.crm", "http://10.0.0.7/v1"]),
            ("INOPSIO_TRACE_SAMPLE", "7", &["telemetry.sample", "7", "0 to 1"]),
            ("INOPSIO_PROJECTION_PARTITIONS", "3", &["projections.partitions", "3", "1, 2, 4"]),
            ("INOPSIO_PROJECTION_PARTITIONS", "{nonsense=2}", &["projections.partitions", "nonsense", "leads"]),
            ("INOPSIO_PROJECTION_PARTITIONS", "many", &["projections.partitions", "{leads=4}"]),
        ];
        for (name, value, wanted) in cases {
            let error = from(&[(name, value)]).unwrap_err().to_string();
            for part in wanted {
                assert!(error.contains(part), "{error:?} does not say {part:?}");
            }
        }
    }

    #[test]
    fn of_several_cells_one_is_where_tenants_live_of_whom_none_was_noted() {
        let file = std::env::temp_dir().join(format!("inopsio-cells-{}.toml", std::process::id()));
        let cells = "[cells.west]\nurls = \"http://127.0.0.1:1\"\n[cells.east]\nurls = \"http://127.0.0.1:2\"\n";
        let of = |home: &str| {
            std::fs::write(&file, format!("{home}{cells}")).unwrap();
            load(Some(&file), [], [], &known())
        };
        assert_eq!(of("[directory]\ncell = \"west\"\n").unwrap().home_cell(), Some("west"));
        for home in ["", "[directory]\ncell = \"north\"\n"] {
            let error = of(home).unwrap_err().to_string();
            assert!(error.contains("directory.cell") && error.contains("east, west"), "{error}");
        }
        std::fs::write(&file, "[cells.east]\nurls = \"nowhere\"\n").unwrap();
        let error = load(Some(&file), [], [], &known()).unwrap_err().to_string();
        assert!(error.starts_with("cells.east.urls: \"nowhere\""), "no variable, no brackets: {error}");
        std::fs::remove_file(&file).unwrap();
    }

    #[test]
    fn read_models_are_divided_all_alike_or_each_by_itself() {
        let partitions = |text| from(&[("INOPSIO_PROJECTION_PARTITIONS", text)]).unwrap().projections;
        assert_eq!(partitions("4").partitions_of("leads"), Some(4));
        let some = partitions("{leads=8, contacts=2}");
        assert_eq!((some.partitions_of("leads"), some.partitions_of("accounts")), (Some(8), None));
        assert_eq!(from(&[]).unwrap().projections.partitions_of("leads"), None);
    }

    #[test]
    fn secrets_are_text_and_never_shown() {
        let config =
            from(&[("INOPSIO_POSTGRES_PASSWORD", "12345"), ("INOPSIO_NATS_URL", "nats://127.0.0.1:4333")]).unwrap();
        assert_eq!(config.postgres.password.reveal(), "12345");
        assert!(!format!("{config:?}").contains("12345"));
        let error = from(&[("INOPSIO_CLAIM_KEY", "beef")]).unwrap_err().to_string();
        assert!(error.contains("64 hexadecimal digits") && !error.contains("beef"), "{error}");
    }

    #[test]
    fn what_is_no_proxy_of_ours_is_named_with_what_is_allowed() {
        let config = from(&[("INOPSIO_TRUSTED_PROXIES", r#"["10.0.0.7", "fd00::/8", " 192.0.2.0/24 "]"#)]).unwrap();
        let read: Vec<_> = config.http.proxies().unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(read, ["10.0.0.7/32", "fd00::/8", "192.0.2.0/24"]);
        for wrong in ["", "proxy.example.com", "10.0.0.0/33", "10.0.0", "*"] {
            let list = format!("[\"10.0.0.7\", {wrong:?}]");
            let error = from(&[("INOPSIO_TRUSTED_PROXIES", &list)]).unwrap_err().to_string();
            assert!(
                error.contains("http.trusted_proxies (INOPSIO_TRUSTED_PROXIES)") && error.contains(wrong),
                "{error}"
            );
        }
    }

    #[test]
    fn every_setting_has_a_field() {
        for setting in SETTINGS {
            let value = match setting.key {
                "http.host" => "127.0.0.1".to_owned(),
                "http.cors_origins" | "http.trusted_proxies" | "texts.prefixes" => "[]".to_owned(),
                "http.public_url" | "auth.breaches_url" => "https://api.example.com".to_owned(),
                "auth.access_token_seconds" => "60".to_owned(),
                "http.compression"
                | "webhooks.allow_private"
                | "mail.catch"
                | "texts.catch"
                | "names.verified_domains_only" => "true".to_owned(),
                "names.servers" => "[\"127.0.0.1\"]".to_owned(),
                "postgres.ssl_mode" => "prefer".to_owned(),
                "postgres.claim_key" | "auth.master_key" | "audit.seal_key" => "ab".repeat(32),
                // Not without the one that follows it.
                "auth.former_master_key" => continue,
                "log.format" => "json".to_owned(),
                "directory.url" => "postgres://127.0.0.1/inopsio_directory".to_owned(),
                "directory.cell" => "east".to_owned(),
                "operators.tenant" => uuid::Uuid::nil().to_string(),
                key if key.starts_with("remotes.") => "http://127.0.0.1:8081".to_owned(),
                _ => "1".to_owned(),
            };
            // Text fields don't take a bare number.
            let tried = [value.clone(), format!("\"{value}\"")];
            let taken = tried.iter().any(|value| from(&[(setting.variable, value)]).is_ok());
            assert!(taken, "{} has no field: {}", setting.key, from(&[(setting.variable, &value)]).unwrap_err());
        }
    }
}
