//! Reads the configuration from the file, the environment, flags and Vault, and turns errors into messages for people.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::Path;

use figment::error::Kind;
use figment::providers::{Format as _, Toml};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider, Source};
use kernel::Service;

use crate::{Config, PREFIX, SETTINGS, Setting, checks, kv};

/// An invalid configuration. The text has the key, its value and source, and what is allowed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub String);

/// Secrets whose files may change while the program runs, so the path of the file is kept, too.
const REREAD: [&str; 2] = ["vault.token", "vault.secret_id"];

/// Names of the program's parts that its configuration may use.
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
            if REREAD.contains(&setting.key) {
                from_environment.set(&file, "");
            }
        } else if setting.secret
            && let Some(path) = environment.get(&format!("{}_FILE", setting.variable))
        {
            let text = std::fs::read_to_string(path)
                .map_err(|error| ConfigError(format!("{}_FILE names {path:?}: {error}", setting.variable)))?;
            from_environment.set(setting.key, text.trim_end());
            if REREAD.contains(&setting.key) {
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
    checks::check(&config, known)?;
    Ok(config)
}

/// The environment variables with the prefix of settings. Others are ignored, even if they are not UTF-8.
pub(crate) fn environment(
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Vec<(String, String)>, ConfigError> {
    let named = variables.into_iter().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
    let ours = named.filter(|(name, _)| name.starts_with(PREFIX));
    ours.map(|(name, value)| match value.into_string() {
        Ok(value) => Ok((name, value)),
        Err(_) => Err(ConfigError(format!("{name} is not UTF-8"))),
    })
    .collect()
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
        // Secrets are always text. Other values are parsed like TOML values, or else taken as text; a text setting keeps a value that looks
        // like a number or a boolean as text.
        let value = if setting.is_some_and(|setting| setting.secret) {
            Value::from(text)
        } else {
            match text.parse().unwrap_or_else(|_| Value::from(text)) {
                Value::Num(..) | Value::Bool(..) if setting.is_some_and(Setting::is_text) => Value::from(text.trim()),
                value => value,
            }
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
        let source = source_of(error.metadata.as_ref());
        if !text.is_empty() {
            text.push('\n');
        }
        let variable = setting.map(|setting| format!(" ({})", setting.variable)).unwrap_or_default();
        let _ = match &error.kind {
            Kind::InvalidType(found, wanted) | Kind::InvalidValue(found, wanted) => {
                let shown =
                    if setting.is_some_and(|setting| setting.secret) { "(secret)".into() } else { found.to_string() };
                let wanted = in_words(wanted);
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
            other if key.is_empty() => write!(text, "{source} can't be read: {}", without_lines(&other.to_string())),
            other => write!(text, "{key}{variable} from {source}: {other}"),
        };
    }
    text
}

/// The source of a value, for messages.
fn source_of(metadata: Option<&Metadata>) -> String {
    let Some(metadata) = metadata else { return "the configuration".to_owned() };
    match metadata.source.as_ref().and_then(Source::file_path) {
        Some(file) => format!("the file {}", file.display()),
        None => metadata.name.to_string(),
    }
}

/// The parser's message about an invalid TOML file, without the lines that it quotes: these may contain a secret.
fn without_lines(said: &str) -> String {
    let shows = |line: &str| line.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ').starts_with('|');
    let said = said.lines().map(str::trim).filter(|line| !line.is_empty() && !shows(line));
    said.collect::<Vec<_>>().join(": ")
}

/// Translates a type name in serde's messages into words for people.
fn in_words(wanted: &str) -> &str {
    match wanted {
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" | "usize" => "a whole number from 0",
        "a nonzero u32" => "a whole number from 1 to 4294967295",
        "f64" => "a number",
        "a boolean" => "true or false",
        "a sequence" => "a list, such as [\"one\", \"two\"]",
        "a string" => "a text",
        other => other,
    }
}

/// The key that hashes claims, decoded; `None` if it is not set.
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

    #[cfg(unix)]
    #[test]
    fn only_our_own_variables_have_to_be_text() {
        use std::os::unix::ffi::OsStringExt as _;
        let no_text = || OsString::from_vec(b"\xff\xfe".to_vec());
        let others = [("LESS".into(), no_text()), (no_text(), "x".into()), ("INOPSIO_PORT".into(), "9000".into())];
        assert_eq!(environment(others).unwrap(), [("INOPSIO_PORT".to_owned(), "9000".to_owned())]);
        let error = environment([("INOPSIO_HOST".into(), no_text())]).unwrap_err().to_string();
        assert!(error.starts_with("INOPSIO_HOST") && error.contains("UTF-8"), "{error}");
    }

    #[test]
    fn a_bad_value_is_named_with_its_key_and_what_is_allowed() {
        let cases: [(&str, &str, &[&str]); 34] = [
            ("INOPSIO_NATS_URL", "", &["nats.url", "INOPSIO_NATS_URL", "nats://10.0.0.7:4222"]),
            ("INOPSIO_NATS_URL", "nats://10.0.0.7:4222,", &["nats.url", "10.0.0.7:4222,", "separated by commas"]),
            ("INOPSIO_HOST", "nowhere", &["http.host", "INOPSIO_HOST", "nowhere", "127.0.0.1"]),
            ("INOPSIO_BODY_LIMIT", "-1", &["http.body_limit", "-1", "a whole number from 0"]),
            ("INOPSIO_BODY_LIMIT", "0", &["http.body_limit", "0", "from 1"]),
            ("INOPSIO_IDLE_SECONDS", "0", &["http.idle_seconds", "0", "seconds from 1"]),
            ("INOPSIO_GRAPHQL_DEPTH", "0", &["graphql.depth", "0", "from 1"]),
            ("INOPSIO_GRAPHQL_TIMEOUT_SECONDS", "0", &["graphql.timeout_seconds", "0", "seconds from 1"]),
            ("INOPSIO_CORS_ORIGINS", "7", &["http.cors_origins", "7", "a list"]),
            ("INOPSIO_VAULT_TIMEOUT_SECONDS", "0", &["vault.timeout_seconds", "0", "1 to 60"]),
            ("INOPSIO_MASTER_KEY", "transit:t/k", &["auth.master_key", "INOPSIO_VAULT_TOKEN", "INOPSIO_VAULT_ROLE_ID"]),
            ("INOPSIO_CORS_ORIGINS", "[\"app.example.com\"]", &["http.cors_origins", "app.example.com", "https://"]),
            (
                "INOPSIO_CORS_ORIGINS",
                "[\"https://app.example.com/\"]",
                &["http.cors_origins", "scheme, host and port only"],
            ),
            ("INOPSIO_TEXTS_PREFIXES", "[\"49\"]", &["texts.prefixes", "49", "+49"]),
            ("INOPSIO_TEXTS_TENANT_PER_HOUR", "0", &["texts.tenant_per_hour", "0", "from 1 to"]),
            ("INOPSIO_CELL", "East!", &["directory.cell", "East!", "lower-case letters"]),
            ("INOPSIO_DIRECTORY_URL", "nowhere", &["directory.url", "(secret)", "postgres://"]),
            ("INOPSIO_PUBLIC_URL", "https://a.example/b", &["http.public_url", "a.example/b", "without a path"]),
            ("INOPSIO_NAME_SERVERS", "[\"ns.example\"]", &["names.servers", "ns.example", "addresses"]),
            ("INOPSIO_ACCESS_TOKEN_SECONDS", "1", &["auth.access_token_seconds", "1", "10 to 86400"]),
            ("INOPSIO_UPLOADS", "0", &["http.uploads", "0", "from 1"]),
            ("INOPSIO_APPEND_TIMEOUT_SECONDS", "0", &["postgres.append_timeout_seconds", "0", "from 1"]),
            ("INOPSIO_APPEND_QUEUE_MIB", "4096", &["postgres.append_queue_mib", "4096", "1 to 2048"]),
            ("INOPSIO_PORT", "80800", &["http.port", "INOPSIO_PORT", "80800", "from 0 to 65535"]),
            ("INOPSIO_PORT", "many", &["http.port", "many"]),
            ("INOPSIO_LOG_FORMAT", "xml", &["log.format", "xml", "auto", "text", "json"]),
            ("INOPSIO_NATS_REPLICAS", "2", &["nats.replicas", "2", "1, 3 or 5"]),
            ("INOPSIO_REMOTE_CRM", "10.0.0.7:8080", &["remotes.crm", "INOPSIO_REMOTE_CRM", "http://10.0.0.7:8080"]),
            ("INOPSIO_REMOTE_CRM", "http://10.0.0.7:8080,", &["remotes.crm", "separated by commas"]),
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
        assert_eq!(partitions("{}").partitions_of("leads"), None);
        assert_eq!(from(&[]).unwrap().projections.partitions_of("leads"), None);
    }

    #[test]
    fn the_address_to_listen_on_may_be_called_localhost() {
        for (text, address) in [("localhost", "127.0.0.1"), ("0.0.0.0", "0.0.0.0"), ("::1", "::1")] {
            assert_eq!(from(&[("INOPSIO_HOST", text)]).unwrap().http.host.to_string(), address);
        }
    }

    #[test]
    fn where_we_listen_is_a_url_in_either_kind_of_address() {
        let url = |host| from(&[("INOPSIO_HOST", host), ("INOPSIO_PORT", "9000")]).unwrap().http.url();
        assert_eq!(url("127.0.0.1"), "http://127.0.0.1:9000");
        assert_eq!(url("::1"), "http://[::1]:9000");
    }

    #[test]
    fn secrets_are_text_and_never_shown() {
        let config =
            from(&[("INOPSIO_POSTGRES_PASSWORD", "12345"), ("INOPSIO_NATS_URL", "nats://127.0.0.1:4333")]).unwrap();
        assert_eq!(config.postgres.password.reveal(), "12345");
        assert!(!format!("{config:?}").contains("12345"));
        let error = from(&[("INOPSIO_CLAIM_KEY", "beef")]).unwrap_err().to_string();
        assert!(error.contains("64 hexadecimal digits") && !error.contains("beef"), "{error}");
        let error = from(&[("INOPSIO_NATS_URL", "nats://app:canary@10.0.0.8:4222,")]).unwrap_err().to_string();
        assert!(error.contains("nats.url") && error.contains("(secret)") && !error.contains("canary"), "{error}");
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
                // A former master key is not allowed without a current one.
                "auth.former_master_key" => continue,
                "log.format" => "json".to_owned(),
                "directory.url" => "postgres://127.0.0.1/inopsio_directory".to_owned(),
                "directory.cell" => "east".to_owned(),
                "operators.tenant" => uuid::Uuid::nil().to_string(),
                key if key.starts_with("remotes.") => "http://127.0.0.1:8081".to_owned(),
                _ => "1".to_owned(),
            };
            let taken = from(&[(setting.variable, &value)]);
            assert!(taken.is_ok(), "{} has no field: {}", setting.key, taken.unwrap_err());
        }
    }

    #[test]
    fn a_text_may_look_like_a_number_or_be_quoted() {
        let config = from(&[
            ("INOPSIO_TEXTS_FROM", "+4930123456"),
            ("INOPSIO_NATS_USER", "0042"),
            ("INOPSIO_DATABASE_CRM", "7"),
            ("INOPSIO_VAULT_NAMESPACE", "true"),
            ("INOPSIO_MAIL_FROM", "\"Inopsio <no-reply@example.com>\""),
        ])
        .unwrap();
        assert_eq!(config.texts.from, "+4930123456");
        assert_eq!(config.nats.user.as_deref(), Some("0042"));
        assert_eq!(config.databases["crm"], "7");
        assert_eq!(config.vault.namespace.as_deref(), Some("true"));
        assert_eq!(config.mail.from, "Inopsio <no-reply@example.com>");
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named_and_not_quoted() {
        let file = std::env::temp_dir().join(format!("inopsio-broken-{}.toml", std::process::id()));
        let said = |content: &str| {
            std::fs::write(&file, content).unwrap();
            load(Some(&file), [], [], &known()).unwrap_err().to_string()
        };
        let place = format!("the file {}", file.display());
        let broken = said("[postgres]\npassword = \"canary\nport = 5432\n");
        assert!(
            broken.starts_with(&place) && broken.contains("can't be read") && broken.contains("line 2"),
            "{broken}"
        );
        assert!(!broken.contains("canary") && !broken.contains('\n'), "it may hold a secret: {broken}");
        assert!(said("[http]\nprot = 1\n").starts_with(&format!("{place} has an unknown key \"prot\"")));
        assert!(said("[http]\nport = \"x\"\n").contains(&format!("from {place} is not allowed")));
        std::fs::remove_file(&file).unwrap();
    }
}
