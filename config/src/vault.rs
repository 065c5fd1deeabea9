//! Secrets that Vault keeps (KV, version 2): `vault:<mount>/<path>#<key>` stands in the place of a secret, wherever that comes
//! from, and is replaced by what Vault has there when the configuration is read.

use std::collections::BTreeMap;
use std::time::Duration;

use figment::Figment;
use figment::value::Value;
use serde::Deserialize;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use crate::load::{Values, explain};
use crate::{ConfigError, SETTINGS, Setting, Vault};

const SCHEME: &str = "vault:";

/// How long Vault may take to answer. A start that hangs helps nobody.
const PATIENCE: Duration = Duration::from_secs(5);

/// The longest answer that is read.
const MOST: u64 = 1 << 20;

/// The secrets of a configuration that Vault keeps; none: Vault is not asked.
///
/// # Errors
/// Names the key, what stands there, and why it can't be had. Never a secret.
pub(crate) fn secrets(figment: &Figment) -> Result<Values, ConfigError> {
    let mut found = Values::new("Vault");
    let mut store = None;
    for setting in SETTINGS.iter().filter(|setting| setting.secret) {
        let Ok(Value::String(_, text)) = figment.find_value(setting.key) else { continue };
        let Some(reference) = text.strip_prefix(SCHEME) else { continue };
        let refuse = |why: String| {
            ConfigError(format!("{} ({}): {SCHEME}{reference} can't be had: {why}", setting.key, setting.variable))
        };
        let reference = Reference::read(reference).map_err(refuse)?;
        let store = match &mut store {
            Some(store) => store,
            None => store.insert(Store::open(figment, setting)?),
        };
        found.set(setting.key, &store.secret(&reference).map_err(refuse)?);
    }
    Ok(found)
}

/// Where a secret is.
struct Reference {
    mount: String,
    path: String,
    key: String,
}

impl Reference {
    fn read(text: &str) -> Result<Self, String> {
        let parts = text.split_once('#').and_then(|(place, key)| Some((place.split_once('/')?, key)));
        let plain = |text: &str| {
            text.split('/').all(|part| {
                !part.is_empty()
                    && !part.starts_with('.')
                    && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
            })
        };
        match parts {
            Some(((mount, path), key)) if plain(mount) && plain(path) && !key.is_empty() => {
                Ok(Self { mount: mount.to_owned(), path: path.to_owned(), key: key.to_owned() })
            }
            _ => {
                Err("allowed is vault:<mount>/<path>#<key>, such as vault:secret/inopsio#postgres_password".to_owned())
            }
        }
    }
}

/// A Vault that is asked.
struct Store {
    settings: Vault,
    agent: ureq::Agent,
    /// What was read, by mount and path: each is read once.
    read: BTreeMap<String, BTreeMap<String, serde_json::Value>>,
}

/// What Vault answers.
#[derive(Deserialize)]
struct Answer {
    data: Versioned,
}

#[derive(Deserialize)]
struct Versioned {
    /// None: the version was deleted.
    data: Option<BTreeMap<String, serde_json::Value>>,
}

impl Store {
    /// The Vault of this configuration, which `wanted` needs.
    fn open(figment: &Figment, wanted: &Setting) -> Result<Self, ConfigError> {
        let settings: Vault = match figment.find_value("vault") {
            Ok(_) => figment.extract_inner("vault").map_err(|error| ConfigError(explain(&error)))?,
            Err(_) => Vault::default(),
        };
        let needs = |what: &str, allowed: &str| {
            let key = wanted.key;
            Err(ConfigError(format!("{key} is to be read from Vault, and {what}; allowed is {allowed}")))
        };
        if !settings.address.starts_with("https://") && !settings.address.starts_with("http://") {
            return needs(
                &format!("vault.address (INOPSIO_VAULT_ADDRESS) is {:?}", settings.address),
                "a URL such as https://vault.internal:8200",
            );
        }
        if settings.token.is_empty() || settings.token.reveal().starts_with(SCHEME) {
            return needs(
                "vault.token (INOPSIO_VAULT_TOKEN) is not set",
                "a token itself, or INOPSIO_VAULT_TOKEN_FILE",
            );
        }
        // The machine's own authorities (SSL_CERT_FILE names others), as Vault's certificate is seldom from a public one.
        let trusted = rustls_native_certs::load_native_certs().certs;
        let trusted = trusted.iter().map(|certificate| Certificate::from_der(certificate).to_owned());
        let tls = TlsConfig::builder().root_certs(RootCerts::from(trusted)).build();
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(PATIENCE))
            .http_status_as_error(false)
            .max_redirects(0)
            // The token is for Vault, whatever stands between.
            .proxy(None)
            .tls_config(tls)
            .build()
            .into();
        Ok(Self { settings, agent, read: BTreeMap::new() })
    }

    fn secret(&mut self, reference: &Reference) -> Result<String, String> {
        let Reference { mount, path, key } = reference;
        let place = format!("{mount}/{path}");
        if !self.read.contains_key(&place) {
            let secrets = self.ask(mount, path)?;
            self.read.insert(place.clone(), secrets);
        }
        match self.read.get(&place).and_then(|secrets| secrets.get(key)) {
            Some(serde_json::Value::String(secret)) => Ok(secret.clone()),
            Some(_) => Err(format!("{key} is no text there")),
            None => Err(format!("there is no key {key} there")),
        }
    }

    fn ask(&self, mount: &str, path: &str) -> Result<BTreeMap<String, serde_json::Value>, String> {
        let Vault { address, token, namespace } = &self.settings;
        let url = format!("{}/v1/{mount}/data/{path}", address.trim_end_matches('/'));
        let mut request =
            self.agent.get(&url).header("X-Vault-Request", "true").header("X-Vault-Token", token.reveal());
        if let Some(namespace) = namespace {
            request = request.header("X-Vault-Namespace", namespace);
        }
        let mut response = request.call().map_err(|error| format!("Vault at {address} does not answer: {error}"))?;
        match response.status().as_u16() {
            200 => {}
            403 => return Err(format!("Vault at {address} does not let vault.token read it (403)")),
            404 => return Err(format!("Vault at {address} has nothing there (404)")),
            503 => return Err(format!("Vault at {address} is sealed or in maintenance (503)")),
            status => return Err(format!("Vault at {address} answers {status}")),
        }
        let body = response.body_mut().with_config().limit(MOST).read_to_vec();
        let body = body.map_err(|error| format!("Vault's answer can't be read: {error}"))?;
        // What serde says of it could quote a secret.
        let answer: Answer = serde_json::from_slice(&body).map_err(|_| {
            format!("Vault at {address} does not answer as KV version 2 does; is {mount} such a mount?")
        })?;
        answer.data.data.ok_or_else(|| format!("Vault at {address} has only a deleted version there"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_has_mount_path_and_key() {
        let read = |text| Reference::read(text).map(|found| (found.mount, found.path, found.key));
        let found = ("secret".to_owned(), "inopsio/crm".to_owned(), "claim key".to_owned());
        assert_eq!(read("secret/inopsio/crm#claim key"), Ok(found));
        for bad in [
            "",
            "secret",
            "secret/a",
            "secret#k",
            "/a#k",
            "secret/#k",
            "secret/a#",
            "s/../sys#k",
            "s/a?x=1#k",
            "s/a%2fb#k",
        ] {
            assert!(Reference::read(bad).is_err(), "{bad}");
        }
    }
}
