//! A double of Vault for tests. It answers as HashiCorp's documentation and the sources of OpenBao describe (transit with real AES-256-GCM,
//! versions and derived keys; tokens, AppRole, sealing). No real Vault is packaged where our tests run.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, KeyType, Salt};
use ring::rand::{SecureRandom, SystemRandom};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::http::{HttpRequest, read_request};

/// A token with all permissions, until a test revokes it.
pub const VAULT_TOKEN: &str = "hvs.the-token-of-a-test";

/// A received request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedVault {
    /// Method and path, such as `POST transit/encrypt/inopsio`.
    pub what: String,
    /// Its token.
    pub token: Option<String>,
    /// Its namespace.
    pub namespace: Option<String>,
    /// Its body.
    pub body: String,
}

/// A Vault on its own port, with the transit engine at `transit` and a key `inopsio` in it.
#[derive(Clone)]
pub struct VaultDouble {
    /// Its address.
    pub address: String,
    inside: Arc<Mutex<Inside>>,
    held: Arc<watch::Sender<Held>>,
}

/// Which requests are held: those whose path begins with `path`, after `after` of them.
#[derive(Clone, Debug, Default)]
struct Held {
    path: Option<String>,
    after: usize,
    waiting: bool,
}

#[derive(Default)]
struct Inside {
    away: bool,
    sealed: bool,
    tokens: HashMap<String, Token>,
    given: u32,
    roles: HashMap<String, String>,
    denied: HashSet<String>,
    /// Keys by mount and name.
    keys: BTreeMap<(String, String), Key>,
    mounts: HashSet<String>,
    namespace: Option<String>,
    /// Statuses with which the next requests are answered, whatever they are.
    next: VecDeque<u16>,
    asked: Vec<AskedVault>,
}

#[derive(Clone, Copy)]
struct Token {
    ttl: u64,
    renewable: bool,
}

struct Key {
    kind: &'static str,
    derived: bool,
    versions: Vec<[u8; 32]>,
    oldest: usize,
}

struct Length;

impl KeyType for Length {
    fn len(&self) -> usize {
        32
    }
}

type Said = (u16, Value);

fn errors(status: u16, text: &str) -> Said {
    (status, json!({ "errors": if text.is_empty() { vec![] } else { vec![text] } }))
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).unwrap();
    bytes
}

impl Key {
    fn of(&self, version: usize, context: &[u8]) -> Result<LessSafeKey, String> {
        let mut key = self.versions[version - 1];
        if self.derived {
            if context.is_empty() {
                return Err("missing 'context' for key derivation; the key was created using a derived key".to_owned());
            }
            let secret = Salt::new(HKDF_SHA256, &[]).extract(&self.versions[version - 1]);
            secret.expand(&[context], Length).unwrap().fill(&mut key).unwrap();
        }
        Ok(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key).unwrap()))
    }

    fn encrypt(&self, plaintext: &[u8], context: &[u8], associated: &[u8]) -> Result<String, String> {
        let version = self.versions.len();
        let (key, nonce) = (self.of(version, context)?, random::<NONCE_LEN>());
        let mut bytes = plaintext.to_vec();
        key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(associated), &mut bytes).unwrap();
        Ok(format!("vault:v{version}:{}", STANDARD.encode([&nonce[..], &bytes].concat())))
    }

    fn decrypt(&self, ciphertext: &str, context: &[u8], associated: &[u8]) -> Result<Vec<u8>, String> {
        let parts = ciphertext.strip_prefix("vault:v").and_then(|rest| rest.split_once(':'));
        let (version, text) = parts.ok_or("invalid ciphertext: no prefix")?;
        let version: usize = version.parse().map_err(|_| "invalid ciphertext: version number could not be decoded")?;
        if version > self.versions.len() {
            return Err("invalid ciphertext: version is too new".to_owned());
        }
        if version < self.oldest {
            return Err("ciphertext or signature version is disallowed by policy (too old)".to_owned());
        }
        let bytes = STANDARD.decode(text).map_err(|_| "invalid ciphertext: could not decode base64")?;
        let (nonce, sealed) = bytes.split_first_chunk::<NONCE_LEN>().ok_or("invalid ciphertext length")?;
        let (mut sealed, key) = (sealed.to_vec(), self.of(version, context)?);
        let opened = key.open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(associated), &mut sealed);
        opened.map(|opened| opened.to_vec()).map_err(|_| "cipher: message authentication failed".to_owned())
    }
}

impl VaultDouble {
    /// A double whose key `inopsio` authenticates `associated_data`.
    pub async fn start() -> Self {
        Self::with_key(false).await
    }

    /// A double whose key `inopsio` is derived for each context.
    pub async fn deriving() -> Self {
        Self::with_key(true).await
    }

    async fn with_key(derived: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let held = Arc::new(watch::Sender::new(Held::default()));
        let vault = Self { address, inside: Arc::default(), held };
        vault.inside().tokens.insert(VAULT_TOKEN.to_owned(), Token { ttl: 0, renewable: false });
        vault.inside().mounts.insert("transit".to_owned());
        vault.make("inopsio", "aes256-gcm96", derived);
        let serving = vault.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serving.clone().serve(stream));
            }
        });
        vault
    }

    fn inside(&self) -> std::sync::MutexGuard<'_, Inside> {
        self.inside.lock().unwrap()
    }

    /// Creates a key in the engine at `transit`.
    pub fn make(&self, name: &str, kind: &'static str, derived: bool) {
        let key = Key { kind, derived, versions: vec![random()], oldest: 1 };
        self.inside().keys.insert(("transit".to_owned(), name.to_owned()), key);
    }

    /// Adds a version to the key `inopsio` (`POST transit/keys/inopsio/rotate`).
    pub fn rotate(&self) {
        self.key(|key| key.versions.push(random()));
    }

    /// Makes ciphertexts of earlier versions undecryptable (`min_decryption_version`).
    pub fn forget_before(&self, version: usize) {
        self.key(|key| key.oldest = version);
    }

    fn key(&self, change: impl FnOnce(&mut Key)) {
        change(self.inside().keys.get_mut(&("transit".to_owned(), "inopsio".to_owned())).unwrap());
    }

    /// Seals or unseals it.
    pub fn seal(&self, sealed: bool) {
        self.inside().sealed = sealed;
    }

    /// Makes it unreachable, or reachable again.
    pub fn away(&self, away: bool) {
        self.inside().away = away;
    }

    /// Adds a token with this lifetime in seconds (0: unlimited). It is not ended by the double; a test revokes it.
    pub fn give(&self, token: &str, ttl: u64, renewable: bool) {
        self.inside().tokens.insert(token.to_owned(), Token { ttl, renewable });
    }

    /// Revokes a token.
    pub fn revoke(&self, token: &str) {
        self.inside().tokens.remove(token);
    }

    /// Revokes all tokens that logins returned. Returns their number.
    pub fn revoke_given(&self) -> usize {
        let mut inside = self.inside();
        let before = inside.tokens.len();
        inside.tokens.retain(|token, _| !token.starts_with("hvs.given-"));
        before - inside.tokens.len()
    }

    /// Adds a role that can log in with this secret id (`auth/approle/login`).
    pub fn role(&self, role_id: &str, secret_id: &str) {
        self.inside().roles.insert(role_id.to_owned(), secret_id.to_owned());
    }

    /// Denies a request, such as `POST transit/encrypt/inopsio`, for all tokens.
    pub fn deny(&self, what: &str) {
        self.inside().denied.insert(what.to_owned());
    }

    /// Answers only requests with this namespace.
    pub fn namespace(&self, name: &str) {
        self.inside().namespace = Some(name.to_owned());
    }

    /// Answers the next requests with these statuses.
    pub fn answer_next(&self, statuses: impl IntoIterator<Item = u16>) {
        self.inside().next.extend(statuses);
    }

    /// Holds requests whose path begins with `path`, after `after` of them were answered.
    pub fn hold(&self, path: &str, after: usize) {
        self.held.send_replace(Held { path: Some(path.to_owned()), after, waiting: false });
    }

    /// Waits until a request is held.
    pub async fn reached(&self) {
        self.held.subscribe().wait_for(|held| held.waiting).await.unwrap();
    }

    /// Releases the held requests, and holds no more.
    pub fn release(&self) {
        self.held.send_replace(Held::default());
    }

    /// All requests so far.
    pub fn asked(&self) -> Vec<AskedVault> {
        self.inside().asked.clone()
    }

    /// Number of requests of this kind, such as `POST transit/decrypt/inopsio`.
    pub fn count(&self, what: &str) -> usize {
        self.inside().asked.iter().filter(|asked| asked.what == what).count()
    }

    async fn serve(self, mut stream: TcpStream) {
        let mut buffer = Vec::new();
        while let Some(HttpRequest { method, path, headers, body }) = read_request(&mut stream, &mut buffer).await {
            let path = path.strip_prefix("/v1/").unwrap_or_default();
            if self.inside().away {
                return;
            }
            let asked = AskedVault {
                what: format!("{method} {path}"),
                token: headers.get("x-vault-token").cloned(),
                namespace: headers.get("x-vault-namespace").cloned(),
                body,
            };
            self.wait(path).await;
            let (status, answer) = self.inside().answer(&asked);
            self.inside().asked.push(asked);
            let answer = answer.to_string();
            let head = format!(
                "HTTP/1.1 {status} -\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                answer.len()
            );
            if stream.write_all((head + &answer).as_bytes()).await.is_err() {
                return;
            }
        }
    }

    async fn wait(&self, path: &str) {
        let mut is_held = false;
        self.held.send_modify(|held| {
            if held.path.as_ref().is_some_and(|begin| path.starts_with(begin)) {
                is_held = held.after == 0;
                held.after = held.after.saturating_sub(1);
                held.waiting |= is_held;
            }
        });
        if is_held {
            self.held.subscribe().wait_for(|held| held.path.is_none()).await.unwrap();
        }
    }
}

impl Inside {
    fn answer(&mut self, asked: &AskedVault) -> Said {
        if let Some(status) = self.next.pop_front() {
            return errors(status, "as the test wants it");
        }
        if self.sealed {
            return errors(503, "Vault is sealed");
        }
        let no_route = || errors(404, &format!("no handler for route \"{}\". route entry not found.", asked.what));
        if asked.namespace != self.namespace {
            return no_route();
        }
        let (method, path) = asked.what.split_once(' ').unwrap();
        let body: Value = serde_json::from_str(&asked.body).unwrap_or_default();
        if (method, path) == ("POST", "auth/approle/login") {
            return self.log_in(&body);
        }
        let token = asked.token.as_deref().unwrap_or_default();
        let Some(known) = self.tokens.get(token).copied() else { return errors(403, "permission denied") };
        if self.denied.contains(&asked.what) {
            return errors(403, "1 error occurred:\n\t* permission denied\n\n");
        }
        let auth = |ttl: u64| json!({ "auth": { "client_token": token, "lease_duration": ttl, "renewable": known.renewable } });
        match (method, path) {
            ("GET", "auth/token/lookup-self") => {
                return (200, json!({ "data": { "id": token, "ttl": known.ttl, "renewable": known.renewable } }));
            }
            ("POST", "auth/token/renew-self") if known.renewable => return (200, auth(known.ttl)),
            ("POST", "auth/token/renew-self") => return errors(400, "lease is not renewable"),
            _ => {}
        }
        let parts = path.rsplit_once('/').and_then(|(rest, name)| Some((rest.rsplit_once('/')?, name)));
        let Some(((mount, act), name)) = parts.filter(|((mount, _), _)| self.mounts.contains(*mount)) else {
            return no_route();
        };
        let key = self.keys.get(&(mount.to_owned(), name.to_owned()));
        match (method, act, key) {
            ("GET", "keys", None) => errors(404, ""),
            ("GET", "keys", Some(key)) => {
                let data = json!({
                    "name": name, "type": key.kind, "derived": key.derived, "exportable": false, "deletion_allowed": false,
                    "latest_version": key.versions.len(), "min_decryption_version": key.oldest,
                });
                (200, json!({ "data": data }))
            }
            ("POST", "encrypt" | "decrypt" | "rewrap", None) => errors(400, "encryption key not found"),
            ("POST", "encrypt" | "decrypt" | "rewrap", Some(key)) => batch(act, key, &body),
            _ => no_route(),
        }
    }

    fn log_in(&mut self, body: &Value) -> Said {
        let text = |name: &str| body[name].as_str().unwrap_or_default();
        if self.roles.get(text("role_id")).is_none_or(|secret| secret != text("secret_id")) {
            return errors(400, "invalid role or secret ID");
        }
        self.given += 1;
        let token = format!("hvs.given-{}", self.given);
        self.tokens.insert(token.clone(), Token { ttl: 3_600, renewable: true });
        (200, json!({ "auth": { "client_token": token, "lease_duration": 3_600, "renewable": true } }))
    }
}

/// The results of a batch. If one item fails, the status is 400, and the body has the results of all.
fn batch(act: &str, key: &Key, body: &Value) -> Said {
    let Some(items) = body["batch_input"].as_array().filter(|items| !items.is_empty()) else {
        return errors(400, "missing batch input to process");
    };
    let mut failed = false;
    let results = items.iter().map(|item| {
        let result = one(act, key, item);
        failed |= result.is_err();
        result.unwrap_or_else(|error| json!({ "error": error }))
    });
    let results: Vec<_> = results.collect();
    // A rewrap responds with 200 in any case.
    (if failed && act != "rewrap" { 400 } else { 200 }, json!({ "data": { "batch_results": results } }))
}

fn one(act: &str, key: &Key, item: &Value) -> Result<Value, String> {
    let bytes =
        |name: &str| STANDARD.decode(item[name].as_str().unwrap_or_default()).map_err(|error| error.to_string());
    let (context, associated) = (bytes("context")?, bytes("associated_data")?);
    let ciphertext = item["ciphertext"].as_str().unwrap_or_default();
    let sealed = |text: String| json!({ "ciphertext": text, "key_version": key.versions.len() });
    Ok(match act {
        "encrypt" => sealed(key.encrypt(&bytes("plaintext")?, &context, &associated)?),
        "decrypt" => json!({ "plaintext": STANDARD.encode(key.decrypt(ciphertext, &context, &associated)?) }),
        // Rewrapping does not support associated data.
        _ => sealed(key.encrypt(&key.decrypt(ciphertext, &context, &[])?, &context, &[])?),
    })
}
