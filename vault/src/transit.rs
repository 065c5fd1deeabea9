//! A master key that never leaves Vault: Vault's transit engine wraps and unwraps data keys.
//!
//! The [`Context`] of a wrapped key is bound to it in one of two ways, depending on the type of the key in Vault. A key that was made with
//! `derived=true` derives another key for each context; Vault can then wrap again under the latest version without anybody seeing the
//! plaintext (`rewrap`). A key without `derived` authenticates the context as associated data (`associated_data`); neither Vault nor
//! OpenBao supports `rewrap` with that, so a key that was wrapped under an older version is decrypted and encrypted again.
//!
//! Vault's ciphertext (`vault:v1:…`) is stored unchanged, after the name of the master key.

mod place;
mod wire;

use std::fmt;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keys::{Context, DataKey, Each, MasterKey, Wrapped, rewrap};
use zeroize::Zeroizing;

pub use self::place::Place;
use self::place::SCHEME;
use self::wire::{BatchItem, BatchRequest, BatchResponse, Binding, ItemResult, KeyProperties, KeyResponse, version};
use crate::client::{Client, Request};
use crate::error::{Error, Fault};

/// The types of keys that can wrap: 256-bit authenticated encryption.
const SUITABLE: [&str; 3] = ["aes256-gcm96", "chacha20-poly1305", "xchacha20-poly1305"];

/// A master key in Vault's transit engine.
pub struct Transit {
    client: Arc<Client>,
    place: Place,
    name: String,
    /// How the context is bound. It is fixed when the key is made, so it is looked up once.
    binding: OnceLock<Binding>,
}

impl fmt::Debug for Transit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Transit({})", self.name)
    }
}

impl Transit {
    /// The master key at this place. No request is sent yet.
    pub fn new(client: Arc<Client>, place: Place) -> Self {
        let name = format!("{SCHEME}{}/{}", place.mount, place.key);
        Self { client, place, name, binding: OnceLock::new() }
    }

    /// The client with which it sends requests.
    pub const fn client(&self) -> &Arc<Client> {
        &self.client
    }

    /// Checks that the key exists, that its type is suitable, and that our token may read it. Without retries.
    ///
    /// # Errors
    /// What is wrong.
    pub async fn check(&self) -> Result<(), Error> {
        let request = self.read_key_request();
        let key = self.key_properties(self.client.send_once(request).await)?;
        if self.binding.set(binding(&key)).is_ok() {
            let KeyProperties { derived, exportable, deletion_allowed, latest_version, .. } = key;
            tracing::info!(key = %self.name, derived, latest_version, "the master key is in Vault");
            if exportable || deletion_allowed {
                tracing::warn!(key = %self.name, exportable, deletion_allowed, "the master key may be taken out of Vault, or deleted there");
            }
        }
        Ok(())
    }

    /// Vault's ciphertexts of wrapped keys, or an error for a key that another master key wrapped.
    fn ciphertexts<'w>(&self, wrapped: &[(Context<'w>, &'w Wrapped)]) -> Each<(Context<'w>, &'w str)> {
        wrapped.iter().map(|(context, wrapped)| Ok((*context, wrapped.by(&self.name)?))).collect()
    }

    fn read_key_request(&self) -> Request {
        Request::read("read_key", format!("{}/keys/{}", self.place.mount, self.place.key))
    }

    /// Parses the response to a read of the key, and checks the type of the key.
    fn key_properties(&self, response: Result<crate::client::Response, Error>) -> Result<KeyProperties, Error> {
        let Place { mount, key } = self.place.clone();
        let response = response.map_err(|error| match error.fault {
            Fault::Nothing { said, .. } if said.contains("no handler for route") => {
                self.client.error(Fault::NoMount { mount })
            }
            Fault::Nothing { .. } => self.client.error(Fault::NoKey { mount, key: key.clone() }),
            _ => error,
        })?;
        let KeyResponse { data } = self.client.read(&self.read_key_request().name(), &response)?;
        if SUITABLE.contains(&data.kind.as_str()) {
            return Ok(data);
        }
        Err(self.client.error(Fault::Unsuitable { key, kind: data.kind }))
    }

    async fn read_key(&self) -> Result<KeyProperties, Error> {
        self.key_properties(self.client.send(self.read_key_request()).await)
    }

    async fn binding(&self) -> Result<Binding, Error> {
        if let Some(binding) = self.binding.get() {
            return Ok(*binding);
        }
        // Looked up before the first key is wrapped: if the configured name is wrong and our token may create keys, Vault would create a
        // new key of that name.
        let key = self.read_key().await?;
        Ok(*self.binding.get_or_init(|| binding(&key)))
    }

    /// Sends a batch of items in one request. `act` is `encrypt`, `decrypt` or `rewrap`.
    async fn send_batch(&self, act: &'static str, items: Vec<BatchItem>) -> Result<Vec<ItemResult>, Error> {
        if items.is_empty() {
            return Ok(Vec::new());
        }
        let (Place { mount, key }, count) = (&self.place, items.len());
        let asked = format!("POST {mount}/{act}/{key}");
        let not_vault = || self.client.error(Fault::NotVault { asked: asked.clone() });
        let body = serde_json::to_string(&BatchRequest { batch_input: items }).map_err(|_| not_vault())?;
        let response = self.client.send(Request::post(act, format!("{mount}/{act}/{key}"), body)).await;
        let response = response.map_err(|error| match &error.fault {
            Fault::Refused { said, .. } if said.contains("encryption key not found") => {
                self.client.error(Fault::NoKey { mount: mount.clone(), key: key.clone() })
            }
            Fault::Nothing { .. } => self.client.error(Fault::NoMount { mount: mount.clone() }),
            _ => error,
        })?;
        let BatchResponse { data } = self.client.read(&asked, &response)?;
        if data.batch_results.len() == count { Ok(data.batch_results) } else { Err(not_vault()) }
    }

    async fn encrypted(&self, keys: &[(Context<'_>, &DataKey)]) -> Result<Each<Wrapped>, Error> {
        let binding = self.binding().await?;
        let plaintext = |key: &DataKey| Some(STANDARD.encode(key.reveal()));
        let items = keys.iter().map(|(context, key)| BatchItem::new(binding, *context, plaintext(key), None)).collect();
        Ok(self.send_batch("encrypt", items).await?.iter().map(|outcome| self.wrapped(outcome)).collect())
    }

    async fn decrypted(&self, items: &[(Context<'_>, &str)]) -> Result<Each<DataKey>, Error> {
        let binding = self.binding().await?;
        let items = items.iter().map(|(context, text)| BatchItem::new(binding, *context, None, Some(text))).collect();
        Ok(self.send_batch("decrypt", items).await?.iter().map(|outcome| self.opened(outcome)).collect())
    }

    /// Wraps again, under the latest version, the items that are under an older version of the key; `None` for the others.
    async fn rewrapped(&self, items: &[(Context<'_>, &str)]) -> Result<Each<Option<Wrapped>>, Error> {
        let latest = self.read_key().await?.latest_version;
        let is_older = |text: &str| version(text).is_none_or(|version| version < latest);
        let older: Vec<_> = items.iter().copied().filter(|(_, text)| is_older(text)).collect();
        let anew: Each<Wrapped> = match self.binding().await? {
            Binding::Derived => {
                let again = |(context, text): &(Context<'_>, &str)| {
                    BatchItem::new(Binding::Derived, *context, None, Some(text))
                };
                let outcomes = self.send_batch("rewrap", older.iter().map(again).collect()).await?;
                outcomes.iter().map(|outcome| self.wrapped(outcome)).collect()
            }
            Binding::Associated => {
                let wrapped: Vec<_> = older.iter().map(|(_, text)| Wrapped::new(&self.name, text)).collect();
                let asked: Vec<_> = older.iter().map(|(context, _)| *context).zip(&wrapped).collect();
                rewrap(self, self, &asked).await
            }
        };
        let mut anew = anew.into_iter();
        let renewed = items.iter().map(|(_, text)| if is_older(text) { anew.next().transpose() } else { Ok(None) });
        Ok(renewed.collect())
    }

    fn wrapped(&self, outcome: &ItemResult) -> Result<Wrapped, keys::Error> {
        if outcome.error.is_empty() && version(&outcome.ciphertext).is_some() {
            return Ok(Wrapped::new(&self.name, &outcome.ciphertext));
        }
        Err(self.refused(&outcome.error))
    }

    fn opened(&self, outcome: &ItemResult) -> Result<DataKey, keys::Error> {
        if !outcome.error.is_empty() || outcome.plaintext.is_empty() {
            return Err(self.refused(&outcome.error));
        }
        let bytes = STANDARD.decode(outcome.plaintext.as_bytes()).map(Zeroizing::new);
        let bytes = bytes.map_err(|_| keys::Error::DoesNotOpen)?;
        bytes.as_slice().try_into().map(DataKey::new).map_err(|_| keys::Error::DoesNotOpen)
    }

    /// The error of one item of a batch.
    fn refused(&self, said: &str) -> keys::Error {
        if said.contains("message authentication failed") || said.contains("invalid ciphertext") {
            return keys::Error::DoesNotOpen;
        }
        // For instance a version that the key's settings forbid: an operator of Vault can correct that.
        let asked = format!("what {} wrapped", self.name);
        self.client.error(Fault::Refused { asked, status: 400, said: said.chars().take(200).collect() }).into()
    }
}

fn binding(key: &KeyProperties) -> Binding {
    if key.derived { Binding::Derived } else { Binding::Associated }
}

/// Merges the results of the items that were sent (those that `ciphertexts` has no error for) into the order of all items.
fn merge_results<I, T>(ciphertexts: Vec<Result<I, keys::Error>>, answered: Result<Each<T>, Error>) -> Each<T> {
    match answered {
        Err(error) => ciphertexts.into_iter().map(|one| one.and_then(|_| Err(error.clone().into()))).collect(),
        Ok(answered) => {
            let mut answered = answered.into_iter();
            let mut next = || answered.next().unwrap_or(Err(keys::Error::DoesNotOpen));
            ciphertexts.into_iter().map(|one| one.and_then(|_| next())).collect()
        }
    }
}

fn only<T>(each: Each<T>) -> Result<T, keys::Error> {
    each.into_iter().next().unwrap_or(Err(keys::Error::DoesNotOpen))
}

#[async_trait]
impl MasterKey for Transit {
    fn name(&self) -> &str {
        &self.name
    }

    async fn wrap(&self, context: Context<'_>, key: &DataKey) -> Result<Wrapped, keys::Error> {
        only(self.wrap_all(&[(context, key)]).await)
    }

    async fn unwrap(&self, context: Context<'_>, wrapped: &Wrapped) -> Result<DataKey, keys::Error> {
        only(self.unwrap_all(&[(context, wrapped)]).await)
    }

    async fn wrap_all(&self, keys: &[(Context<'_>, &DataKey)]) -> Each<Wrapped> {
        merge_results(keys.iter().map(Ok).collect(), self.encrypted(keys).await)
    }

    async fn unwrap_all(&self, wrapped: &[(Context<'_>, &Wrapped)]) -> Each<DataKey> {
        let ciphertexts = self.ciphertexts(wrapped);
        let ours: Vec<_> = ciphertexts.iter().flatten().copied().collect();
        let opened = self.decrypted(&ours).await;
        merge_results(ciphertexts, opened)
    }

    async fn renewed(&self, wrapped: &[(Context<'_>, &Wrapped)]) -> Each<Option<Wrapped>> {
        let ciphertexts = self.ciphertexts(wrapped);
        let ours: Vec<_> = ciphertexts.iter().flatten().copied().collect();
        let renewed = self.rewrapped(&ours).await;
        merge_results(ciphertexts, renewed)
    }
}

impl From<Error> for keys::Error {
    fn from(error: Error) -> Self {
        Self::Unavailable(error.to_string())
    }
}
