//! Asking Vault: one question, or again and again for what may pass.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use zeroize::Zeroizing;

use crate::error::{Error, Fault, SetUpError};
use crate::meters;
use crate::settings::{Secret, Settings};
use crate::tokens::Tokens;

/// The longest answer that is read, in bytes.
const MOST: u64 = 4 << 20;
/// The longest of what Vault says that is repeated, in characters.
const SAID: usize = 200;
/// How many questions are open at a time, each in a thread of its own: the others wait their turn.
const AT_ONCE: usize = 16;
/// The pause before something is asked again: the first, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// When the token is looked after again that could not be looked after.
const AGAIN: Duration = Duration::from_secs(5);

/// A Vault that is asked. Its questions block; [`ask`](Self::ask) is for who must not be blocked.
pub struct Client {
    settings: Settings,
    agent: ureq::Agent,
    tokens: Tokens,
    turns: Arc<Semaphore>,
    answered: AtomicBool,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// A question.
pub(crate) struct Ask {
    /// What it is called where questions are counted.
    pub(crate) operation: &'static str,
    /// The path after `/v1/`.
    pub(crate) path: String,
    /// JSON that is posted; none: the path is read.
    pub(crate) body: Option<Zeroizing<String>>,
}

impl Ask {
    /// Reads a path.
    pub(crate) fn read(operation: &'static str, path: String) -> Self {
        Self { operation, path, body: None }
    }

    /// Posts to a path.
    pub(crate) fn post(operation: &'static str, path: String, body: String) -> Self {
        Self { operation, path, body: Some(Zeroizing::new(body)) }
    }

    /// What it is, for people.
    pub(crate) fn name(&self) -> String {
        format!("{} {}", if self.body.is_some() { "POST" } else { "GET" }, self.path)
    }
}

/// What was answered. It may be a key.
pub(crate) struct Answer(Zeroizing<Vec<u8>>);

/// What stands in an answer that says no.
#[derive(Deserialize)]
struct Errors {
    #[serde(default)]
    errors: Vec<String>,
}

/// An answer of several parts, of which some may say no while the whole of it is a 400.
#[derive(Deserialize)]
struct Parts {
    #[expect(dead_code, reason = "only whether it is there is asked")]
    data: BatchResults,
}

#[derive(Deserialize)]
struct BatchResults {
    #[expect(dead_code, reason = "only whether they are there is asked")]
    batch_results: IgnoredAny,
}

impl Client {
    /// The Vault of these settings. It is not asked yet.
    ///
    /// # Errors
    /// [`SetUpError`].
    pub fn open(settings: Settings) -> Result<Self, SetUpError> {
        let address = settings.address.trim_end_matches('/').to_owned();
        let rest = address.strip_prefix("https://").or_else(|| address.strip_prefix("http://"));
        if rest.is_none_or(|rest| rest.is_empty() || rest.contains(['@', '?', '#', ' '])) {
            return Err(SetUpError::Address(settings.address));
        }
        let tls = TlsConfig::builder().root_certs(authorities(&settings)?).build();
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(settings.patience))
            .http_status_as_error(false)
            .max_redirects(0)
            .user_agent("inopsio")
            // The token is for Vault, whatever stands between.
            .proxy(None)
            .tls_config(tls)
            .build()
            .into();
        let tokens = Tokens::new(settings.credentials.clone());
        let settings = Settings { address, ..settings };
        Ok(Self { settings, agent, tokens, turns: Arc::new(Semaphore::new(AT_ONCE)), answered: AtomicBool::new(false) })
    }

    /// How it is asked.
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Whether it ever answered us.
    pub fn has_answered(&self) -> bool {
        self.answered.load(Ordering::Relaxed)
    }

    pub(crate) fn error(&self, fault: Fault) -> Error {
        Error { address: self.settings.address.clone(), fault }
    }

    /// Asks with our token, and again what may pass.
    pub(crate) async fn ask(self: &Arc<Self>, ask: Ask) -> Result<Answer, Error> {
        let (ask, patience) = (Arc::new(ask), self.settings.patience);
        let until = Instant::now() + patience;
        let (mut pause, longest) = PAUSES;
        let asking = async {
            loop {
                match self.aside(&ask).await {
                    Err(error) if error.passes() && Instant::now() + pause < until => {
                        tracing::debug!(%error, "asked again");
                        tokio::time::sleep(pause).await;
                        pause = (pause * 2).min(longest);
                    }
                    answer => return answer,
                }
            }
        };
        let silent = |_| Err(self.error(Fault::Silent { seconds: patience.as_secs() }));
        tokio::time::timeout(patience, asking).await.unwrap_or_else(silent)
    }

    /// Asks with our token, once.
    pub(crate) async fn ask_once(self: &Arc<Self>, ask: Ask) -> Result<Answer, Error> {
        self.aside(&Arc::new(ask)).await
    }

    /// Asks where nobody else is kept waiting.
    async fn aside(self: &Arc<Self>, ask: &Arc<Ask>) -> Result<Answer, Error> {
        let stopped = || self.error(Fault::Away("this process is stopping".to_owned()));
        // The turn goes with the thread: who gave up waiting for it does not let another one in.
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(|_| stopped())?;
        let (client, ask) = (Arc::clone(self), Arc::clone(ask));
        let asked = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            client.authorized(&ask)
        });
        asked.await.map_err(|_| stopped())?
    }

    /// Asks with our token; with another one when it is not taken any more. Blocks.
    pub(crate) fn authorized(&self, ask: &Ask) -> Result<Answer, Error> {
        let token = self.tokens.current(self)?;
        let answer = match self.exchange(ask, Some(&token)) {
            Err(Error { fault: Fault::Denied { .. }, .. }) if !self.takes(&token)? => {
                if !self.tokens.another(self, &token)? {
                    return Err(self.error(Fault::TokenRefused));
                }
                self.exchange(ask, Some(&self.tokens.current(self)?))
            }
            answer => answer,
        };
        if answer.is_ok() {
            self.answered.store(true, Ordering::Relaxed);
        }
        answer
    }

    /// Whether a token is good. Vault says 403 also to a good one that may not do what was asked.
    fn takes(&self, token: &Secret) -> Result<bool, Error> {
        match self.exchange(&Ask::read("lookup_self", "auth/token/lookup-self".to_owned()), Some(token)) {
            Ok(_) => Ok(true),
            Err(Error { fault: Fault::Denied { .. }, .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// One question, one answer. Blocks.
    pub(crate) fn exchange(&self, ask: &Ask, token: Option<&Secret>) -> Result<Answer, Error> {
        let began = Instant::now();
        let answer = self.sent(ask, token);
        meters::asked(ask.operation, began.elapsed(), &answer);
        answer
    }

    fn sent(&self, ask: &Ask, token: Option<&Secret>) -> Result<Answer, Error> {
        let url = format!("{}/v1/{}", self.settings.address, ask.path);
        let mut headers = vec![("X-Vault-Request", "true")];
        headers.extend(token.map(|token| ("X-Vault-Token", token.reveal())));
        headers.extend(self.settings.namespace.as_deref().map(|namespace| ("X-Vault-Namespace", namespace)));
        let sent = match &ask.body {
            None => headers
                .into_iter()
                .fold(self.agent.get(&url), |request, (name, value)| request.header(name, value))
                .call(),
            Some(body) => {
                let request = self.agent.post(&url).header("Content-Type", "application/json");
                headers
                    .into_iter()
                    .fold(request, |request, (name, value)| request.header(name, value))
                    .send(body.as_bytes())
            }
        };
        let mut response = sent.map_err(|error| self.error(Fault::Away(error.to_string())))?;
        let status = response.status().as_u16();
        let body = response.body_mut().with_config().limit(MOST).read_to_vec().map(Zeroizing::new);
        let body = body.map_err(|error| self.error(Fault::Away(format!("its answer can't be read: {error}"))))?;
        let fault = match status {
            200..=299 => return Ok(Answer(body)),
            400 if serde_json::from_slice::<Parts>(&body).is_ok() => return Ok(Answer(body)),
            300..=399 => Fault::Elsewhere { status },
            403 => Fault::Denied { asked: ask.name() },
            404 => Fault::Nothing { path: ask.path.clone(), said: said(&body) },
            503 => Fault::Sealed,
            // 412: a standby has not heard yet of what the active one did. 472, 473: standbys of another cluster.
            412 | 429 | 472 | 473 | 500..=599 => Fault::Busy { status, said: said(&body) },
            _ => Fault::Refused { asked: ask.name(), status, said: said(&body) },
        };
        Err(self.error(fault))
    }

    /// An answer, read.
    pub(crate) fn read<T: DeserializeOwned>(&self, asked: &str, answer: &Answer) -> Result<T, Error> {
        // What serde says of it could quote a secret.
        serde_json::from_slice(&answer.0).map_err(|_| self.error(Fault::NotVault { asked: asked.to_owned() }))
    }

    /// Keeps the token good until `shutdown`: renews it in time, or gets another.
    pub async fn keep(self: Arc<Self>, shutdown: CancellationToken) {
        let mut wait = Duration::ZERO;
        while shutdown.run_until_cancelled(tokio::time::sleep(wait)).await.is_some() {
            let client = Arc::clone(&self);
            let tended = tokio::task::spawn_blocking(move || client.tokens.tend(&client)).await;
            wait = match tended {
                Ok(Ok(wait)) => wait,
                Ok(Err(error)) => {
                    tracing::warn!(%error, "the token for Vault could not be looked after; it is tried again");
                    AGAIN
                }
                Err(_) => AGAIN,
            };
        }
    }
}

/// The authorities of the settings' file, else those of the machine (SSL_CERT_FILE names others), as Vault's certificate is seldom from a
/// public one.
fn authorities(settings: &Settings) -> Result<RootCerts, SetUpError> {
    let Some(path) = &settings.ca_file else {
        let trusted = rustls_native_certs::load_native_certs().certs;
        return Ok(RootCerts::from(trusted.iter().map(|one| Certificate::from_der(one).to_owned())));
    };
    let refuse = |why: String| SetUpError::Authorities { path: path.clone(), why };
    let pem = std::fs::read(path).map_err(|error| refuse(error.to_string()))?;
    let mut trusted = Vec::new();
    for item in parse_pem(&pem) {
        if let PemItem::Certificate(one) = item.map_err(|error| refuse(error.to_string()))? {
            trusted.push(one);
        }
    }
    if trusted.is_empty() {
        return Err(refuse("there is no certificate (PEM) in it".to_owned()));
    }
    Ok(RootCerts::from(trusted))
}

/// What Vault says is wrong, in one line. It names paths and rules, never what was sent.
fn said(body: &[u8]) -> String {
    let errors = serde_json::from_slice(body).map_or_else(|_| Vec::new(), |Errors { errors }| errors);
    let words = errors.iter().flat_map(|error| error.split_whitespace()).collect::<Vec<_>>().join(" ");
    words.chars().take(SAID).collect()
}
