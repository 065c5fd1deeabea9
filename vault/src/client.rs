//! The HTTP client: sends requests to Vault with a token, and retries temporary failures.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use kernel::Backoff;
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

/// The longest response that is read, in bytes.
const MAX_RESPONSE_BYTES: u64 = 4 << 20;
/// How much of Vault's error text an error of ours quotes, in characters.
const MAX_QUOTED_CHARS: usize = 200;
/// The most concurrent requests, each on a thread of its own. Further ones wait for a free slot.
const MAX_CONCURRENT: usize = 16;
/// The pauses between attempts.
const BACKOFF: Backoff = Backoff { first: Duration::from_millis(50), longest: Duration::from_secs(1) };
/// The pause after a failed attempt to renew the token.
const RETRY_TOKEN_AFTER: Duration = Duration::from_secs(5);

/// A client of one Vault server. Its HTTP calls block; async code uses [`send`](Self::send), which runs them on another thread.
pub struct Client {
    settings: Settings,
    agent: ureq::Agent,
    tokens: Tokens,
    slots: Arc<Semaphore>,
    answered: AtomicBool,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// A request to Vault.
pub(crate) struct Request {
    /// The name of the operation in the metrics.
    pub(crate) operation: &'static str,
    /// The path after `/v1/`.
    pub(crate) path: String,
    /// The JSON body of a POST; `None`: the request is a GET.
    pub(crate) body: Option<Zeroizing<String>>,
}

impl Request {
    /// A GET of a path.
    pub(crate) fn read(operation: &'static str, path: String) -> Self {
        Self { operation, path, body: None }
    }

    /// A POST to a path.
    pub(crate) fn post(operation: &'static str, path: String, body: String) -> Self {
        Self { operation, path, body: Some(Zeroizing::new(body)) }
    }

    /// Method and path, for error messages.
    pub(crate) fn name(&self) -> String {
        format!("{} {}", if self.body.is_some() { "POST" } else { "GET" }, self.path)
    }
}

/// The body of a response. It may contain a key, so it is overwritten when it is dropped.
pub(crate) struct Response(Zeroizing<Vec<u8>>);

/// The body of an error response.
#[derive(Deserialize)]
struct Errors {
    #[serde(default)]
    errors: Vec<String>,
}

/// The response to a batch of items. Vault answers 400 if some of the items failed, although the results of the others are in it.
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
    /// Makes a client. It sends no request yet.
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
            // No proxy from the environment: the token is only for Vault.
            .proxy(None)
            .tls_config(tls)
            .build()
            .into();
        let tokens = Tokens::new(settings.credentials.clone());
        let settings = Settings { address, ..settings };
        Ok(Self {
            settings,
            agent,
            tokens,
            slots: Arc::new(Semaphore::new(MAX_CONCURRENT)),
            answered: AtomicBool::new(false),
        })
    }

    /// The settings of this client.
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Whether Vault has ever answered a request of ours successfully.
    pub fn has_answered(&self) -> bool {
        self.answered.load(Ordering::Relaxed)
    }

    pub(crate) fn error(&self, fault: Fault) -> Error {
        Error { address: self.settings.address.clone(), fault }
    }

    /// Sends a request with our token, and retries temporary failures for as long as `settings.patience` allows.
    pub(crate) async fn send(self: &Arc<Self>, request: Request) -> Result<Response, Error> {
        let (request, patience) = (Arc::new(request), self.settings.patience);
        let until = Instant::now() + patience;
        let mut pause = BACKOFF.first;
        let asking = async {
            loop {
                match self.send_on_thread(&request).await {
                    Err(error) if error.passes() && Instant::now() + pause < until => {
                        tracing::debug!(%error, "asked again");
                        tokio::time::sleep(pause).await;
                        pause = BACKOFF.after(pause);
                    }
                    response => return response,
                }
            }
        };
        let silent = |_| Err(self.error(Fault::Silent { seconds: patience.as_secs() }));
        tokio::time::timeout(patience, asking).await.unwrap_or_else(silent)
    }

    /// Sends a request with our token, without retries.
    pub(crate) async fn send_once(self: &Arc<Self>, request: Request) -> Result<Response, Error> {
        self.send_on_thread(&Arc::new(request)).await
    }

    /// Sends a request on a thread for blocking work.
    async fn send_on_thread(self: &Arc<Self>, request: &Arc<Request>) -> Result<Response, Error> {
        let stopped = || self.error(Fault::Away("this process is stopping".to_owned()));
        // The thread owns its slot: if the waiting task is cancelled, the slot stays taken until the request has ended.
        let slot = Arc::clone(&self.slots).acquire_owned().await.map_err(|_| stopped())?;
        let (client, request) = (Arc::clone(self), Arc::clone(request));
        let asked = tokio::task::spawn_blocking(move || {
            let _slot = slot;
            client.send_blocking(&request)
        });
        asked.await.map_err(|_| stopped())?
    }

    /// Sends a request with our token. If Vault denies it because the token is invalid, gets another token and sends it again. Blocks.
    pub(crate) fn send_blocking(&self, request: &Request) -> Result<Response, Error> {
        let token = self.tokens.current(self)?;
        let response = match self.exchange(request, Some(&token)) {
            Err(Error { fault: Fault::Denied { .. }, .. }) if !self.is_token_valid(&token)? => {
                if !self.tokens.replace_refused(self, &token)? {
                    return Err(self.error(Fault::TokenRefused));
                }
                self.exchange(request, Some(&self.tokens.current(self)?))
            }
            response => response,
        };
        if response.is_ok() {
            self.answered.store(true, Ordering::Relaxed);
        }
        response
    }

    /// Whether a token is valid. Vault answers 403 also to a valid token whose policy does not allow the request.
    fn is_token_valid(&self, token: &Secret) -> Result<bool, Error> {
        match self.exchange(&Request::read("lookup_self", "auth/token/lookup-self".to_owned()), Some(token)) {
            Ok(_) => Ok(true),
            Err(Error { fault: Fault::Denied { .. }, .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Sends one HTTP request, and counts and times it. Blocks.
    pub(crate) fn exchange(&self, request: &Request, token: Option<&Secret>) -> Result<Response, Error> {
        let began = Instant::now();
        let response = self.transmit(request, token);
        meters::request(request.operation, began.elapsed(), &response);
        response
    }

    fn transmit(&self, request: &Request, token: Option<&Secret>) -> Result<Response, Error> {
        let url = format!("{}/v1/{}", self.settings.address, request.path);
        let mut headers = vec![("X-Vault-Request", "true")];
        headers.extend(token.map(|token| ("X-Vault-Token", token.reveal())));
        headers.extend(self.settings.namespace.as_deref().map(|namespace| ("X-Vault-Namespace", namespace)));
        let sent = match &request.body {
            None => headers
                .into_iter()
                .fold(self.agent.get(&url), |builder, (name, value)| builder.header(name, value))
                .call(),
            Some(body) => {
                let builder = self.agent.post(&url).header("Content-Type", "application/json");
                headers
                    .into_iter()
                    .fold(builder, |builder, (name, value)| builder.header(name, value))
                    .send(body.as_bytes())
            }
        };
        let mut response = sent.map_err(|error| self.error(Fault::Away(error.to_string())))?;
        let status = response.status().as_u16();
        let body = response.body_mut().with_config().limit(MAX_RESPONSE_BYTES).read_to_vec().map(Zeroizing::new);
        let body = body.map_err(|error| self.error(Fault::Away(format!("its answer can't be read: {error}"))))?;
        let fault = match status {
            200..=299 => return Ok(Response(body)),
            400 if serde_json::from_slice::<Parts>(&body).is_ok() => return Ok(Response(body)),
            300..=399 => Fault::Elsewhere { status },
            403 => Fault::Denied { asked: request.name() },
            404 => Fault::Nothing { path: request.path.clone(), said: said(&body) },
            503 => Fault::Sealed,
            // 412: a standby has not yet replicated a change of the active server. 472, 473: standbys of a replication cluster.
            412 | 429 | 472 | 473 | 500..=599 => Fault::Busy { status, said: said(&body) },
            _ => Fault::Refused { asked: request.name(), status, said: said(&body) },
        };
        Err(self.error(fault))
    }

    /// Parses a response.
    pub(crate) fn read<T: DeserializeOwned>(&self, asked: &str, response: &Response) -> Result<T, Error> {
        // The error text of serde is dropped: it could quote a secret.
        serde_json::from_slice(&response.0).map_err(|_| self.error(Fault::NotVault { asked: asked.to_owned() }))
    }

    /// Keeps the token valid until `shutdown`: renews it before it expires, or gets another one.
    pub async fn keep(self: Arc<Self>, shutdown: CancellationToken) {
        let mut wait = Duration::ZERO;
        while shutdown.run_until_cancelled(tokio::time::sleep(wait)).await.is_some() {
            let client = Arc::clone(&self);
            let attempt = tokio::task::spawn_blocking(move || client.tokens.renew_if_due(&client)).await;
            wait = match attempt {
                Ok(Ok(wait)) => wait,
                Ok(Err(error)) => {
                    tracing::warn!(%error, "the token for Vault could not be looked after; it is tried again");
                    RETRY_TOKEN_AFTER
                }
                Err(_) => RETRY_TOKEN_AFTER,
            };
        }
    }
}

/// The trusted certificate authorities: those of the file in the settings, else those of the machine (or of SSL_CERT_FILE), because Vault's
/// certificate is seldom from a public authority.
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

/// The error messages of a response, as one line. Vault names paths and rules in them, never the values that were sent.
fn said(body: &[u8]) -> String {
    let errors = serde_json::from_slice(body).map_or_else(|_| Vec::new(), |Errors { errors }| errors);
    let words = errors.iter().flat_map(|error| error.split_whitespace()).collect::<Vec<_>>().join(" ");
    words.chars().take(MAX_QUOTED_CHARS).collect()
}
