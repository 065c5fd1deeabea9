//! Secrets in Vault (KV version 2): a value `vault:<mount>/<path>#<key>` of a secret setting, from whichever source, is replaced by the
//! secret in Vault when the configuration is loaded.

use std::collections::BTreeMap;

use figment::Figment;
use figment::value::Value;
use vault::Client;

use super::load::{Values, explain};
use super::master::unusable;
use super::{ConfigError, SETTINGS, Setting, Vault};

const SCHEME: &str = "vault:";

/// Fetches the secrets to which a configuration refers. If it refers to none, Vault is not contacted.
///
/// # Errors
/// Names the setting, its reference, and why the secret can't be read. Never contains a secret.
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

/// The place of a secret in Vault.
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

/// A connection to Vault with a cache of the secrets read.
struct Store {
    client: Client,
    /// Secrets that were read, by mount and path: each path is read once.
    read: BTreeMap<String, BTreeMap<String, serde_json::Value>>,
}

impl Store {
    /// Opens the configured Vault. `wanted`: the setting that needs it, for error messages.
    fn open(figment: &Figment, wanted: &Setting) -> Result<Self, ConfigError> {
        let settings: Vault = match figment.find_value("vault") {
            Ok(_) => figment.extract_inner("vault").map_err(|error| ConfigError(explain(&error)))?,
            Err(_) => Vault::default(),
        };
        let needs = |what: &str| ConfigError(format!("{} is to be read from Vault, and {what}", wanted.key));
        if settings.token.reveal().starts_with(SCHEME) || settings.secret_id.reveal().starts_with(SCHEME) {
            return Err(needs("with what it is asked can't be read from there; allowed is a text or a file"));
        }
        let settings = settings.settings().map_err(|why| needs(&why))?;
        let client = Client::open(settings).map_err(|error| needs(&unusable(&error).0))?;
        Ok(Self { client, read: BTreeMap::new() })
    }

    fn secret(&mut self, reference: &Reference) -> Result<String, String> {
        let Reference { mount, path, key } = reference;
        let place = format!("{mount}/{path}");
        if !self.read.contains_key(&place) {
            let secrets = self.client.secrets(mount, path).map_err(|error| error.to_string())?;
            let address = &self.client.settings().address;
            let secrets = secrets.ok_or_else(|| format!("Vault at {address} has only a deleted version there"))?;
            self.read.insert(place.clone(), secrets);
        }
        match self.read.get(&place).and_then(|secrets| secrets.get(key)) {
            Some(serde_json::Value::String(secret)) => Ok(secret.clone()),
            Some(_) => Err(format!("{key} is no text there")),
            None => Err(format!("there is no key {key} there")),
        }
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
