//! The token of a client: where it comes from, and its renewal.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::json;

use crate::client::{Client, Request};
use crate::error::{Error, Fault};
use crate::meters;
use crate::settings::{Credentials, Secret};

/// The longest time until the token is checked again (for renewal, or for a change of its file).
const LONGEST_WAIT: Duration = Duration::from_mins(1);
/// The shortest time until the token is checked again.
const SHORTEST_WAIT: Duration = Duration::from_secs(1);

pub(crate) struct Tokens {
    credentials: Credentials,
    held: Mutex<Option<Held>>,
}

/// The current token and its lease.
struct Held {
    text: Secret,
    /// `None`: not looked up yet.
    lease: Option<Lease>,
}

#[derive(Clone, Copy)]
struct Lease {
    /// When Vault stated the lease.
    since: Instant,
    /// Its duration; `None`: it does not expire.
    lasts: Option<Duration>,
    /// The duration of the token's first lease.
    initial: Duration,
    renewable: bool,
}

impl Lease {
    fn new(seconds: u64, renewable: bool) -> Self {
        let lasts = Duration::from_secs(seconds);
        let (lasts, initial) = ((seconds > 0).then_some(lasts), lasts);
        Self { since: Instant::now(), lasts, initial, renewable }
    }

    fn left(&self) -> Option<Duration> {
        Some(self.lasts?.saturating_sub(self.since.elapsed()))
    }
}

/// The response to a login or a renewal.
#[derive(Deserialize)]
struct LoginResponse {
    auth: Auth,
}

#[derive(Deserialize)]
struct Auth {
    client_token: String,
    lease_duration: u64,
    renewable: bool,
}

/// The response to a lookup of a token.
#[derive(Deserialize)]
struct LookupResponse {
    data: TokenProperties,
}

#[derive(Deserialize)]
struct TokenProperties {
    ttl: u64,
    #[serde(default)]
    renewable: bool,
}

impl Tokens {
    pub(crate) fn new(credentials: Credentials) -> Self {
        Self { credentials, held: Mutex::new(None) }
    }

    fn held(&self) -> MutexGuard<'_, Option<Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The current token. With AppRole, logs in if there is none yet.
    pub(crate) fn current(&self, client: &Client) -> Result<Secret, Error> {
        let mut held = self.held();
        match &self.credentials {
            Credentials::Token(source) => {
                let text = source.read().map_err(|why| client.error(Fault::NoToken(why)))?;
                if held.as_ref().is_none_or(|held| held.text != text) {
                    *held = Some(Held { text: text.clone(), lease: None });
                }
                Ok(text)
            }
            Credentials::AppRole { .. } => match &*held {
                Some(held) => Ok(held.text.clone()),
                // The lock is held during the login, so that concurrent callers wait for this token instead of logging in too.
                None => self.log_in(client, &mut held),
            },
        }
    }

    /// Replaces a token that Vault refused. Returns whether there is a different one now.
    pub(crate) fn replace_refused(&self, client: &Client, refused: &Secret) -> Result<bool, Error> {
        if let Credentials::AppRole { .. } = &self.credentials {
            let mut held = self.held();
            // A concurrent request may already have replaced it.
            if held.as_ref().is_none_or(|held| held.text == *refused) {
                self.log_in(client, &mut held)?;
            }
            return Ok(true);
        }
        Ok(self.current(client)? != *refused)
    }

    fn log_in(&self, client: &Client, held: &mut Option<Held>) -> Result<Secret, Error> {
        let Credentials::AppRole { mount, role_id, secret_id } = &self.credentials else {
            return Err(client.error(Fault::TokenRefused));
        };
        let secret_id = secret_id.read().map_err(|why| client.error(Fault::NoToken(why)))?;
        let body = json!({ "role_id": role_id, "secret_id": secret_id.reveal() }).to_string();
        let request = Request::post("login", format!("auth/{mount}/login"), body);
        let response = client.exchange(&request, None).map_err(|error| match error.fault {
            Fault::Refused { asked, .. } | Fault::Denied { asked } => client.error(Fault::LoginRefused { asked }),
            _ => error,
        })?;
        let LoginResponse { auth } = client.read(&request.name(), &response)?;
        let text = Secret::new(&auth.client_token);
        *held = Some(Held { text: text.clone(), lease: Some(Lease::new(auth.lease_duration, auth.renewable)) });
        tracing::info!(seconds = auth.lease_duration, "logged in to Vault");
        Ok(text)
    }

    /// Renews the token if two thirds of its lease are over, or gets another one. Returns how long to wait until the next check.
    pub(crate) fn renew_if_due(&self, client: &Client) -> Result<Duration, Error> {
        let text = self.current(client)?;
        let lease = match self.lease(&text) {
            Some(lease) => lease,
            None => self.look_up(client, &text)?,
        };
        let (Some(left), Some(lasts)) = (lease.left(), lease.lasts) else { return Ok(LONGEST_WAIT) };
        if left > lasts / 3 {
            meters::token_ttl(left);
            return Ok(left.saturating_sub(lasts / 3).clamp(SHORTEST_WAIT, LONGEST_WAIT));
        }
        let renewed = if lease.renewable { self.renew(client, &text, &lease)? } else { None };
        // A renewal for much less than the first lease means that the token approaches the maximum lifetime that its role allows.
        let enough = renewed.and_then(|lease| lease.left()).filter(|left| *left >= lease.initial / 3);
        if let Some(left) = enough {
            meters::token_ttl(left);
            return Ok((left / 2).clamp(SHORTEST_WAIT, LONGEST_WAIT));
        }
        if self.replace_refused(client, &text)? {
            return Ok(SHORTEST_WAIT);
        }
        let left = renewed.and_then(|lease| lease.left()).unwrap_or(left);
        meters::token_ttl(left);
        tracing::warn!(
            seconds = left.as_secs(),
            "the token for Vault ends and can't be renewed for long: give another one"
        );
        Ok((left / 2).clamp(SHORTEST_WAIT, LONGEST_WAIT))
    }

    fn lease(&self, text: &Secret) -> Option<Lease> {
        self.held().as_ref().filter(|held| held.text == *text)?.lease
    }

    fn note(&self, text: &Secret, lease: Lease) -> Lease {
        if let Some(held) = self.held().as_mut().filter(|held| held.text == *text) {
            held.lease = Some(lease);
        }
        lease
    }

    /// Looks up the lease of a token.
    fn look_up(&self, client: &Client, text: &Secret) -> Result<Lease, Error> {
        let request = Request::read("lookup_self", "auth/token/lookup-self".to_owned());
        let response = client.exchange(&request, Some(text)).map_err(|error| match error.fault {
            Fault::Denied { .. } => client.error(Fault::TokenRefused),
            _ => error,
        })?;
        let LookupResponse { data } = client.read(&request.name(), &response)?;
        Ok(self.note(text, Lease::new(data.ttl, data.renewable)))
    }

    /// Renews a token; `None`: Vault refuses.
    fn renew(&self, client: &Client, text: &Secret, lease: &Lease) -> Result<Option<Lease>, Error> {
        let request = Request::post("renew_self", "auth/token/renew-self".to_owned(), "{}".to_owned());
        match client.exchange(&request, Some(text)) {
            Ok(response) => {
                let LoginResponse { auth } = client.read(&request.name(), &response)?;
                let renewed = Lease { initial: lease.initial, ..Lease::new(auth.lease_duration, auth.renewable) };
                Ok(Some(self.note(text, renewed)))
            }
            Err(error) if error.passes() => Err(error),
            Err(error) => {
                tracing::warn!(%error, "the token for Vault is not renewed");
                Ok(None)
            }
        }
    }
}
