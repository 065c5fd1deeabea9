//! The master key: in this process, given as text; or in Vault, which wraps and unwraps keys itself (transit engine).

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use keys::{LocalMasterKey, MasterKey, Succession, SystemRandom};
use vault::{Client, Place, SetUpError, Transit};

use super::{Config, ConfigError, SecretText, Vault};

/// The allowed forms of a master key, for error messages.
const ALLOWED: &str = "64 hexadecimal digits, or where it is in Vault, as transit:<mount>/<key>";

/// The Vault clients of this process. Copies of the configuration share them, so that each key has one client.
#[derive(Clone, Default)]
pub struct Vaults(Arc<Mutex<Vec<Known>>>);

/// A client, with its settings and the place of its key.
type Known = (vault::Settings, Place, Arc<Transit>);

impl fmt::Debug for Vaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vaults(…)")
    }
}

impl Vaults {
    fn transit(&self, settings: vault::Settings, place: Place) -> Result<Arc<Transit>, SetUpError> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((.., transit)) = known.iter().find(|(of, at, _)| (of, at) == (&settings, &place)) {
            return Ok(transit.clone());
        }
        let client = match known.iter().find(|(of, ..)| *of == settings) {
            Some((.., transit)) => transit.client().clone(),
            None => Arc::new(Client::open(settings.clone())?),
        };
        let transit = Arc::new(Transit::new(client, place.clone()));
        known.push((settings, place, transit.clone()));
        Ok(transit)
    }
}

impl Config {
    /// The master key, if one is set; it was validated on load. If a former master key is set, keys that it wrapped can still be unwrapped.
    pub fn master_key(&self) -> Option<Arc<dyn MasterKey>> {
        let current = self.key_at(&self.auth.master_key)?;
        Some(match self.key_at(&self.auth.former_master_key) {
            Some(former) => Arc::new(Succession::new(current, former)),
            None => current,
        })
    }

    /// The names of the current and the former master key, as recorded with the keys that they wrapped. Vault is not contacted.
    pub fn master_key_names(&self) -> Vec<String> {
        let both = [&self.auth.master_key, &self.auth.former_master_key];
        both.into_iter().filter_map(|key| Some(self.key_at(key)?.name().to_owned())).collect()
    }

    /// Those of the current and the former master key that are in Vault.
    pub fn keys_in_vault(&self) -> Vec<Arc<Transit>> {
        let both = [&self.auth.master_key, &self.auth.former_master_key];
        both.into_iter().filter_map(|key| self.transit_at(key)).collect()
    }

    fn key_at(&self, key: &SecretText) -> Option<Arc<dyn MasterKey>> {
        if let Some(transit) = self.transit_at(key) {
            return Some(transit);
        }
        Some(Arc::new(LocalMasterKey::parse(key.reveal(), SystemRandom).ok()?))
    }

    fn transit_at(&self, key: &SecretText) -> Option<Arc<Transit>> {
        let place = Place::read(key.reveal())?.ok()?;
        let transit = transit(self, place);
        transit.inspect_err(|error| tracing::error!(%error, "the master key in Vault can't be used")).ok()
    }
}

fn transit(config: &Config, place: Place) -> Result<Arc<Transit>, ConfigError> {
    let settings = config.vault.settings().map_err(ConfigError)?;
    config.vaults.transit(settings, place).map_err(|error| unusable(&error))
}

/// The error for settings with which no Vault client can be created.
pub(super) fn unusable(error: &SetUpError) -> ConfigError {
    let setting = match error {
        SetUpError::Address(_) => "vault.address (INOPSIO_VAULT_ADDRESS)",
        SetUpError::Authorities { .. } => "vault.ca_file (INOPSIO_VAULT_CA_FILE)",
    };
    ConfigError(format!("{setting}: {error}"))
}

/// Validates the form of the master keys. Vault is not contacted, because it may be unavailable at the start.
pub(super) fn check(config: &Config) -> Result<(), ConfigError> {
    let (current, former) = (&config.auth.master_key, &config.auth.former_master_key);
    for (setting, key) in [
        ("auth.master_key (INOPSIO_MASTER_KEY)", current),
        ("auth.former_master_key (INOPSIO_FORMER_MASTER_KEY)", former),
    ] {
        match Place::read(key.reveal()) {
            Some(Ok(place)) => {
                _ = transit(config, place).map_err(|ConfigError(why)| ConfigError(format!("{setting}: {why}")))?;
            }
            Some(Err(allowed)) => {
                return Err(ConfigError(format!("{setting}: {:?} is not allowed; allowed is {allowed}", key.reveal())));
            }
            None if key.is_empty() || LocalMasterKey::parse(key.reveal(), SystemRandom).is_ok() => {}
            None => return Err(ConfigError(format!("{setting}: (secret) is not allowed; allowed is {ALLOWED}"))),
        }
    }
    if !former.is_empty() && (current.is_empty() || current.reveal() == former.reveal()) {
        let why =
            "it is the key that auth.master_key (INOPSIO_MASTER_KEY) follows, which has to be set, and another one";
        return Err(ConfigError(format!("auth.former_master_key (INOPSIO_FORMER_MASTER_KEY): {why}")));
    }
    Ok(())
}

impl Vault {
    /// The settings of the Vault client.
    ///
    /// # Errors
    /// Which setting is missing, and what is allowed.
    pub fn settings(&self) -> Result<vault::Settings, String> {
        let source = |text: &SecretText, file: Option<&std::path::PathBuf>| match file {
            Some(path) if !path.as_os_str().is_empty() => Some(vault::Source::File(path.clone())),
            _ if text.is_empty() => None,
            _ => Some(vault::Source::Text(vault::Secret::new(text.reveal()))),
        };
        let token = source(&self.token, self.token_file.as_ref());
        let secret_id = source(&self.secret_id, self.secret_id_file.as_ref());
        let role_id = self.role_id.as_ref().filter(|role| !role.is_empty());
        let credentials = match (token, role_id, secret_id) {
            (Some(token), None, None) => vault::Credentials::Token(token),
            (None, Some(role), Some(secret_id)) => {
                let (mount, role_id) = (self.approle_mount.clone(), role.clone());
                vault::Credentials::AppRole { mount, role_id, secret_id }
            }
            (Some(_), ..) => {
                let both = "vault.token (INOPSIO_VAULT_TOKEN) and vault.role_id (INOPSIO_VAULT_ROLE_ID) are set";
                return Err(format!("{both}; allowed is a token, or a role with its vault.secret_id"));
            }
            (None, Some(_), None) => {
                let allowed = "the secret id of the role in vault.role_id, or INOPSIO_VAULT_SECRET_ID_FILE";
                return Err(format!("vault.secret_id (INOPSIO_VAULT_SECRET_ID) is not set; allowed is {allowed}"));
            }
            (None, None, _) => {
                let allowed =
                    "a token itself, INOPSIO_VAULT_TOKEN_FILE, or INOPSIO_VAULT_ROLE_ID with INOPSIO_VAULT_SECRET_ID";
                return Err(format!("vault.token (INOPSIO_VAULT_TOKEN) is not set; allowed is {allowed}"));
            }
        };
        Ok(vault::Settings {
            address: self.address.clone(),
            namespace: self.namespace.clone().filter(|namespace| !namespace.is_empty()),
            credentials,
            ca_file: self.ca_file.clone().filter(|file| !file.as_os_str().is_empty()),
            patience: std::time::Duration::from_secs(self.timeout_seconds),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(change: impl FnOnce(&mut Config)) -> Config {
        let mut config = Config::default();
        config.auth.master_key = SecretText::new("transit:transit/inopsio");
        config.vault.token = SecretText::new("hvs.canary");
        change(&mut config);
        config
    }

    #[test]
    fn a_key_in_vault_has_one_client_and_copies_of_the_configuration_share_it() {
        let config = config(|config| config.auth.former_master_key = SecretText::new("transit:team/old"));
        assert!(check(&config).is_ok());
        let (first, second) = (config.keys_in_vault(), config.clone().keys_in_vault());
        assert!(first.len() == 2 && Arc::ptr_eq(&first[0], &second[0]) && Arc::ptr_eq(&first[1], &second[1]));
        assert!(Arc::ptr_eq(first[0].client(), first[1].client()));
        assert_eq!(config.master_key().unwrap().name(), "transit:transit/inopsio");
        assert_eq!(config.master_key_names(), ["transit:transit/inopsio", "transit:team/old"]);
        assert!(!format!("{config:?} {:?}", first[0].client()).contains("canary"));
    }

    #[test]
    fn what_can_not_be_a_master_key_is_refused_with_the_setting_and_what_is_allowed() {
        type Change = fn(&mut Config);
        let cases: [(Change, &[&str]); 10] = [
            (|c| c.auth.master_key = SecretText::new("beef"), &["INOPSIO_MASTER_KEY", "64 hexadecimal", "transit:"]),
            (
                |c| c.auth.master_key = SecretText::new("transit:inopsio"),
                &["INOPSIO_MASTER_KEY", "transit:<mount>/<key>"],
            ),
            (
                |c| c.auth.master_key = SecretText::new("transit:t/in.opsio"),
                &["INOPSIO_MASTER_KEY", "transit:<mount>/<key>"],
            ),
            (|c| c.vault.token = SecretText::default(), &["INOPSIO_VAULT_TOKEN", "INOPSIO_VAULT_ROLE_ID"]),
            (|c| c.vault.role_id = Some("role".to_owned()), &["vault.token", "vault.role_id"]),
            (
                |c| {
                    c.vault.token = SecretText::default();
                    c.vault.role_id = Some("role".to_owned());
                },
                &["INOPSIO_VAULT_SECRET_ID"],
            ),
            (
                |c| "vault.internal".clone_into(&mut c.vault.address),
                &["INOPSIO_VAULT_ADDRESS", "vault.internal", "https://"],
            ),
            (|c| c.vault.ca_file = Some("/nowhere/ca.pem".into()), &["INOPSIO_VAULT_CA_FILE", "/nowhere/ca.pem"]),
            (
                |c| c.auth.former_master_key = SecretText::new("transit:transit/inopsio"),
                &["INOPSIO_FORMER_MASTER_KEY", "another one"],
            ),
            (
                |c| c.auth.former_master_key = std::mem::take(&mut c.auth.master_key),
                &["INOPSIO_FORMER_MASTER_KEY", "INOPSIO_MASTER_KEY"],
            ),
        ];
        for (change, wanted) in cases {
            let refused = check(&config(change)).unwrap_err().to_string();
            assert!(wanted.iter().all(|part| refused.contains(part)), "{refused:?} does not say {wanted:?}");
            assert!(!refused.contains("beef") && !refused.contains("canary"), "{refused}");
        }
    }
}
