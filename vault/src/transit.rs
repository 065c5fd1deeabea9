//! A master key that never leaves Vault: its engine transit wraps and unwraps.
//!
//! What a key is wrapped for (its [`Context`]) goes along in one of two ways, by what the key in Vault is. One that is made with
//! `derived=true` derives another key of each context; Vault can then wrap anew under the key's latest version without anybody seeing what
//! is wrapped (`rewrap`). One that is not authenticates the context with what it encrypts (`associated_data`); there is no `rewrap` with
//! that, in Vault or in OpenBao, so what was wrapped under an older version is decrypted and encrypted again.
//!
//! What Vault answers (`vault:v1:…`) is kept as it is, behind the name of the key.

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
use self::wire::{Answered, Batch, Binding, Item, Made, Outcome, Read, version};
use crate::client::{Ask, Client};
use crate::error::{Error, Fault};

/// Which types of keys can wrap: those of 256 bits that authenticate.
const SUITABLE: [&str; 3] = ["aes256-gcm96", "chacha20-poly1305", "xchacha20-poly1305"];

/// A master key in Vault.
pub struct Transit {
    client: Arc<Client>,
    place: Place,
    name: String,
    /// It is said when the key is made, and stays.
    binding: OnceLock<Binding>,
}

impl fmt::Debug for Transit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Transit({})", self.name)
    }
}

impl Transit {
    /// The key at this place. Nobody is asked yet.
    pub fn new(client: Arc<Client>, place: Place) -> Self {
        let name = format!("{SCHEME}{}/{}", place.mount, place.key);
        Self { client, place, name, binding: OnceLock::new() }
    }

    /// Whom it asks.
    pub const fn client(&self) -> &Arc<Client> {
        &self.client
    }

    /// Whether the key is there, can wrap, and may be asked for; asked once.
    ///
    /// # Errors
    /// What is wrong.
    pub async fn check(&self) -> Result<(), Error> {
        let ask = self.reading();
        let made = self.made(self.client.ask_once(ask).await)?;
        if self.binding.set(binding(&made)).is_ok() {
            let Made { derived, exportable, deletion_allowed, latest_version, .. } = made;
            tracing::info!(key = %self.name, derived, latest_version, "the master key is in Vault");
            if exportable || deletion_allowed {
                tracing::warn!(key = %self.name, exportable, deletion_allowed, "the master key may be taken out of Vault, or deleted there");
            }
        }
        Ok(())
    }

    /// What Vault said of each when it wrapped it; what another key wrapped is not ours.
    fn named<'w>(&self, wrapped: &[(Context<'w>, &'w Wrapped)]) -> Each<(Context<'w>, &'w str)> {
        wrapped.iter().map(|(context, wrapped)| Ok((*context, wrapped.by(&self.name)?))).collect()
    }

    fn reading(&self) -> Ask {
        Ask::read("read_key", format!("{}/keys/{}", self.place.mount, self.place.key))
    }

    /// How the key was made.
    fn made(&self, answer: Result<crate::client::Answer, Error>) -> Result<Made, Error> {
        let Place { mount, key } = self.place.clone();
        let answer = answer.map_err(|error| match error.fault {
            Fault::Nothing { said, .. } if said.contains("no handler for route") => {
                self.client.error(Fault::NoMount { mount })
            }
            Fault::Nothing { .. } => self.client.error(Fault::NoKey { mount, key: key.clone() }),
            _ => error,
        })?;
        let Read { data } = self.client.read(&self.reading().name(), &answer)?;
        if SUITABLE.contains(&data.kind.as_str()) {
            return Ok(data);
        }
        Err(self.client.error(Fault::Unsuitable { key, kind: data.kind }))
    }

    async fn look(&self) -> Result<Made, Error> {
        self.made(self.client.ask(self.reading()).await)
    }

    async fn binding(&self) -> Result<Binding, Error> {
        if let Some(binding) = self.binding.get() {
            return Ok(*binding);
        }
        // Before the first thing is wrapped: with a wrong name Vault would make a new key for whoever may make keys.
        let made = self.look().await?;
        Ok(*self.binding.get_or_init(|| binding(&made)))
    }

    /// Has something done to several items, in one question.
    async fn done(&self, act: &'static str, items: Vec<Item>) -> Result<Vec<Outcome>, Error> {
        if items.is_empty() {
            return Ok(Vec::new());
        }
        let (Place { mount, key }, count) = (&self.place, items.len());
        let asked = format!("POST {mount}/{act}/{key}");
        let not_vault = || self.client.error(Fault::NotVault { asked: asked.clone() });
        let body = serde_json::to_string(&Batch { batch_input: items }).map_err(|_| not_vault())?;
        let answer = self.client.ask(Ask::post(act, format!("{mount}/{act}/{key}"), body)).await;
        let answer = answer.map_err(|error| match &error.fault {
            Fault::Refused { said, .. } if said.contains("encryption key not found") => {
                self.client.error(Fault::NoKey { mount: mount.clone(), key: key.clone() })
            }
            Fault::Nothing { .. } => self.client.error(Fault::NoMount { mount: mount.clone() }),
            _ => error,
        })?;
        let Answered { data } = self.client.read(&asked, &answer)?;
        if data.batch_results.len() == count { Ok(data.batch_results) } else { Err(not_vault()) }
    }

    async fn encrypted(&self, keys: &[(Context<'_>, &DataKey)]) -> Result<Each<Wrapped>, Error> {
        let binding = self.binding().await?;
        let plaintext = |key: &DataKey| Some(STANDARD.encode(key.reveal()));
        let items = keys.iter().map(|(context, key)| Item::new(binding, *context, plaintext(key), None)).collect();
        Ok(self.done("encrypt", items).await?.iter().map(|outcome| self.wrapped(outcome)).collect())
    }

    async fn decrypted(&self, items: &[(Context<'_>, &str)]) -> Result<Each<DataKey>, Error> {
        let binding = self.binding().await?;
        let items = items.iter().map(|(context, text)| Item::new(binding, *context, None, Some(text))).collect();
        Ok(self.done("decrypt", items).await?.iter().map(|outcome| self.opened(outcome)).collect())
    }

    /// Those that are under an older version of the key, under the latest; none for the others.
    async fn latest(&self, items: &[(Context<'_>, &str)]) -> Result<Each<Option<Wrapped>>, Error> {
        let latest = self.look().await?.latest_version;
        let is_older = |text: &str| version(text).is_none_or(|version| version < latest);
        let older: Vec<_> = items.iter().copied().filter(|(_, text)| is_older(text)).collect();
        let anew: Each<Wrapped> = match self.binding().await? {
            Binding::Derived => {
                let again =
                    |(context, text): &(Context<'_>, &str)| Item::new(Binding::Derived, *context, None, Some(text));
                let outcomes = self.done("rewrap", older.iter().map(again).collect()).await?;
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

    fn wrapped(&self, outcome: &Outcome) -> Result<Wrapped, keys::Error> {
        if outcome.error.is_empty() && version(&outcome.ciphertext).is_some() {
            return Ok(Wrapped::new(&self.name, &outcome.ciphertext));
        }
        Err(self.refused(&outcome.error))
    }

    fn opened(&self, outcome: &Outcome) -> Result<DataKey, keys::Error> {
        if !outcome.error.is_empty() || outcome.plaintext.is_empty() {
            return Err(self.refused(&outcome.error));
        }
        let bytes = STANDARD.decode(outcome.plaintext.as_bytes()).map(Zeroizing::new);
        let bytes = bytes.map_err(|_| keys::Error::DoesNotOpen)?;
        bytes.as_slice().try_into().map(DataKey::new).map_err(|_| keys::Error::DoesNotOpen)
    }

    /// Why Vault did not do one of several.
    fn refused(&self, said: &str) -> keys::Error {
        if said.contains("message authentication failed") || said.contains("invalid ciphertext") {
            return keys::Error::DoesNotOpen;
        }
        // A version that its settings forbid, for one: who looks after Vault can mend that.
        let asked = format!("what {} wrapped", self.name);
        self.client.error(Fault::Refused { asked, status: 400, said: said.chars().take(200).collect() }).into()
    }
}

fn binding(made: &Made) -> Binding {
    if made.derived { Binding::Derived } else { Binding::Associated }
}

/// What became of all, of what became of those that could be asked for.
fn merged<I, T>(named: Vec<Result<I, keys::Error>>, answered: Result<Each<T>, Error>) -> Each<T> {
    match answered {
        Err(error) => named.into_iter().map(|one| one.and_then(|_| Err(error.clone().into()))).collect(),
        Ok(answered) => {
            let mut answered = answered.into_iter();
            let mut next = || answered.next().unwrap_or(Err(keys::Error::DoesNotOpen));
            named.into_iter().map(|one| one.and_then(|_| next())).collect()
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
        merged(keys.iter().map(Ok).collect(), self.encrypted(keys).await)
    }

    async fn unwrap_all(&self, wrapped: &[(Context<'_>, &Wrapped)]) -> Each<DataKey> {
        let named = self.named(wrapped);
        let ours: Vec<_> = named.iter().flatten().copied().collect();
        let opened = self.decrypted(&ours).await;
        merged(named, opened)
    }

    async fn renewed(&self, wrapped: &[(Context<'_>, &Wrapped)]) -> Each<Option<Wrapped>> {
        let named = self.named(wrapped);
        let ours: Vec<_> = named.iter().flatten().copied().collect();
        let renewed = self.latest(&ours).await;
        merged(named, renewed)
    }
}

impl From<Error> for keys::Error {
    fn from(error: Error) -> Self {
        Self::Unavailable(error.to_string())
    }
}
