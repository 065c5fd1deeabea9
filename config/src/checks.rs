//! Validates what the types of settings can't express: ranges of numbers, formats of texts, names that must exist.

use std::collections::BTreeMap;
use std::str::FromStr as _;

use kernel::is_slug;

use crate::load::claim_key;
use crate::{Config, ConfigError, Known, NameSettings, Partitions, SETTINGS, master};

/// The allowed form of URLs of nats-servers, for error messages.
const SERVERS: &str = "the URL of a nats-server such as nats://10.0.0.7:4222, or several, separated by commas";

/// Reports the first invalid setting.
pub(crate) fn check(config: &Config, known: &Known) -> Result<(), ConfigError> {
    if let Some((key, allowed)) = zero(config) {
        return refuse(key, "0", allowed);
    }
    numbers(config)?;
    keys(config)?;
    face(config)?;
    outside(config)?;
    projections(config, known)?;
    remotes(config, known)?;
    cells(config)
}

fn refuse(key: &str, value: &str, allowed: &str) -> Result<(), ConfigError> {
    // Settings of cells have no variable: they can be set in the file only.
    let variable = SETTINGS.iter().find(|setting| setting.key == key);
    let variable = variable.map(|setting| format!(" ({})", setting.variable)).unwrap_or_default();
    Err(ConfigError(format!("{key}{variable}: {value} is not allowed; allowed is {allowed}")))
}

/// The first setting that is 0 but must not be, and what is allowed.
fn zero(config: &Config) -> Option<(&'static str, &'static str)> {
    let Config { http, graphql, .. } = config;
    let seconds = [
        ("http.timeout_seconds", http.timeout_seconds),
        ("http.idle_seconds", http.idle_seconds),
        ("graphql.timeout_seconds", graphql.timeout_seconds),
        ("postgres.append_timeout_seconds", config.postgres.append_timeout_seconds),
        ("webhooks.timeout_seconds", config.webhooks.timeout_seconds),
        ("events.heartbeat_seconds", config.events.heartbeat_seconds),
    ];
    let numbers = [
        ("http.body_limit", http.body_limit as u64),
        ("http.upload_limit", http.upload_limit as u64),
        ("http.uploads", http.uploads as u64),
        ("http.uploads_of_a_tenant", http.uploads_of_a_tenant as u64),
        ("graphql.depth", graphql.depth as u64),
        ("graphql.cost", graphql.cost),
    ];
    let seconds = seconds.into_iter().map(|(key, value)| (key, value, "a number of seconds from 1"));
    let numbers = numbers.into_iter().map(|(key, value)| (key, value, "a number from 1"));
    let (key, _, allowed) = seconds.chain(numbers).find(|(_, value, _)| *value == 0)?;
    Some((key, allowed))
}

/// Checks numbers with bounds.
fn numbers(config: &Config) -> Result<(), ConfigError> {
    if !(0.0..=1.0).contains(&config.telemetry.sample) {
        return refuse("telemetry.sample", &config.telemetry.sample.to_string(), "a number from 0 to 1");
    }
    if ![1, 3, 5].contains(&config.nats.replicas) {
        return refuse("nats.replicas", &config.nats.replicas.to_string(), "1, 3 or 5");
    }
    if !(1..=2048).contains(&config.postgres.append_queue_mib) {
        let found = config.postgres.append_queue_mib.to_string();
        return refuse("postgres.append_queue_mib", &found, "a number from 1 to 2048");
    }
    if !(1..=60).contains(&config.vault.timeout_seconds) {
        return refuse("vault.timeout_seconds", &config.vault.timeout_seconds.to_string(), "a number from 1 to 60");
    }
    if !(10..=86_400).contains(&config.auth.access_token_seconds) {
        let found = config.auth.access_token_seconds.to_string();
        return refuse("auth.access_token_seconds", &found, "a number from 10 to 86400");
    }
    Ok(())
}

/// Checks keys, and never shows them.
fn keys(config: &Config) -> Result<(), ConfigError> {
    if !config.postgres.claim_key.is_empty() && claim_key(config).is_none() {
        return refuse("postgres.claim_key", "(secret)", "64 hexadecimal digits");
    }
    master::check(config)?;
    if !config.audit.seal_key.is_empty() && config.seal_key().is_none() {
        return refuse("audit.seal_key", "(secret)", "64 hexadecimal digits");
    }
    Ok(())
}

/// Checks the public URL, CORS origins and trusted proxies.
fn face(config: &Config) -> Result<(), ConfigError> {
    if !is_origin(&config.http.public_url) {
        let found = format!("{:?}", config.http.public_url);
        return refuse("http.public_url", &found, "a URL such as https://api.example.com, without a path");
    }
    for origin in &config.http.cors_origins {
        // An origin must be written exactly as browsers send it; otherwise it would never match.
        if origin != "*" && (origin.is_empty() || !is_origin(origin)) {
            return refuse(
                "http.cors_origins",
                &format!("{origin:?}"),
                "origins such as https://app.example.com (scheme, host and port only), or *",
            );
        }
    }
    if let Err(wrong) = config.http.proxies() {
        let allowed = "addresses and networks, such as [\"10.0.0.7\", \"fd00::/8\"]";
        return refuse("http.trusted_proxies", &format!("{wrong:?}"), allowed);
    }
    Ok(())
}

/// Checks the addresses of external services.
fn outside(config: &Config) -> Result<(), ConfigError> {
    let servers = &config.nats.url;
    if !no_url_is_empty(servers) {
        // The URL may contain credentials.
        let shown = if servers.contains('@') { "(secret)".to_owned() } else { format!("{servers:?}") };
        return refuse("nats.url", &shown, SERVERS);
    }
    let breaches = &config.auth.breaches_url;
    if !breaches.is_empty() && !["http://", "https://"].iter().any(|scheme| breaches.starts_with(scheme)) {
        let allowed = "a URL such as https://api.pwnedpasswords.com/range";
        return refuse("auth.breaches_url", &format!("{breaches:?}"), allowed);
    }
    for server in &config.names.servers {
        if let Err(text) = NameSettings::server(server) {
            let allowed =
                "addresses of name servers, with a port or without, such as [\"192.0.2.53\", \"192.0.2.54:5353\"]";
            return refuse("names.servers", &format!("{text:?}"), allowed);
        }
    }
    let digits = |prefix: &str| {
        prefix
            .strip_prefix('+')
            .is_some_and(|rest| (1..=15).contains(&rest.len()) && rest.bytes().all(|b| b.is_ascii_digit()))
    };
    if let Some(wrong) = config.texts.prefixes.iter().find(|prefix| !digits(prefix)) {
        return refuse("texts.prefixes", &format!("{wrong:?}"), "prefixes of numbers such as [\"+49\", \"+43\"]");
    }
    Ok(())
}

/// Checks the numbers of partitions of read models.
fn projections(config: &Config, known: &Known) -> Result<(), ConfigError> {
    let partitions = match &config.projections.partitions {
        Partitions::All(partitions) => BTreeMap::from([(String::new(), *partitions)]),
        Partitions::Each(each) => each.clone(),
    };
    for (name, partitions) in partitions {
        if !(partitions.is_power_of_two() && partitions <= projector::MAX_PARTITIONS) {
            return refuse("projections.partitions", &partitions.to_string(), "1, 2, 4, 8, 16, 32 or 64");
        }
        if !name.is_empty() && !known.projections.contains(&name.as_str()) {
            return refuse("projections.partitions", &format!("{name:?}"), &known.projections.join(", "));
        }
    }
    Ok(())
}

/// Checks the URLs of services that run in other processes.
fn remotes(config: &Config, known: &Known) -> Result<(), ConfigError> {
    for (service, urls) in &config.remotes {
        let key = format!("remotes.{service}");
        if !known.services.iter().any(|known| known.name() == service) {
            let names: Vec<_> = known.services.iter().map(|known| format!("remotes.{}", known.name())).collect();
            return refuse(&key, &format!("{urls:?}"), &names.join(", "));
        }
        if remote_urls(urls).is_none() {
            let allowed = "URLs such as http://10.0.0.7:8080, separated by commas";
            return refuse(&key, &format!("{urls:?}"), allowed);
        }
    }
    Ok(())
}

/// Checks the cells and the directory of tenants that they share.
fn cells(config: &Config) -> Result<(), ConfigError> {
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
        let allowed = format!("the cell of tenants without a recorded cell, one of: {}", names.join(", "));
        return refuse("directory.cell", found, &allowed);
    }
    for (name, cell) in &config.cells {
        if !is_slug(name) {
            return refuse(&format!("cells.{name}"), "its name", "2 to 40 lower-case letters, digits and hyphens");
        }
        if remote_urls(&cell.urls).is_none() {
            let allowed = "URLs such as http://10.0.0.7:8080, separated by commas";
            return refuse(&format!("cells.{name}.urls"), &format!("{:?}", cell.urls), allowed);
        }
        if !cell.nats_url.is_empty() && !no_url_is_empty(cell.nats_url.reveal()) {
            return refuse(&format!("cells.{name}.nats_url"), "(secret)", SERVERS);
        }
    }
    Ok(())
}

/// Whether a comma-separated list of URLs has no empty entry.
fn no_url_is_empty(urls: &str) -> bool {
    urls.split(',').all(|url| !url.trim().is_empty())
}

/// Parses the URLs of a service's instances, which may have host and port only; `None` if there is none or one is invalid.
pub(crate) fn remote_urls(text: &str) -> Option<Vec<http::Uri>> {
    let url = |text: &str| {
        let uri: http::Uri = text.trim().parse().ok()?;
        let plain = uri.scheme_str() == Some("http") && matches!(uri.path(), "" | "/") && uri.query().is_none();
        (plain && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))).then_some(uri)
    };
    text.split(',').map(url).collect()
}

/// Whether a text is empty, or scheme and authority of a URL and no more.
fn is_origin(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    text.is_empty()
        || rest.is_some_and(|rest| {
            !rest.is_empty() && !rest.contains(|c: char| !c.is_ascii_graphic() || ['/', '?', '#', '@'].contains(&c))
        })
}
