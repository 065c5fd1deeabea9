//! The token with which Vault is asked: where it comes from, and how it stays good.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::json;

use crate::client::{Ask, Client};
use crate::error::{Error, Fault};
use crate::meters;
use crate::settings::{Credentials, Secret};

/// The longest that nobody looks whether the token is renewed, or stands anew in its file.
const LOOK: Duration = Duration::from_mins(1);
/// The shortest.
const SOON: Duration = Duration::from_secs(1);

pub(crate) struct Tokens {
    credentials: Credentials,
    held: Mutex<Option<Held>>,
}

/// What is known of a token.
struct Held {
    text: Secret,
    /// None: nobody asked yet.
    lease: Option<Lease>,
}

#[derive(Clone, Copy)]
struct Lease {
    /// When it was told.
    since: Instant,
    /// For how long; none: for ever.
    lasts: Option<Duration>,
    /// For how long it was given at first.
    at_first: Duration,
    renewable: bool,
}

impl Lease {
    fn new(seconds: u64, renewable: bool) -> Self {
        let lasts = Duration::from_secs(seconds);
        let (lasts, at_first) = ((seconds > 0).then_some(lasts), lasts);
        Self { since: Instant::now(), lasts, at_first, renewable }
    }

    fn left(&self) -> Option<Duration> {
        Some(self.lasts?.saturating_sub(self.since.elapsed()))
    }
}

/// A login's answer, and a renewal's.
#[derive(Deserialize)]
struct Given {
    auth: Auth,
}

#[derive(Deserialize)]
struct Auth {
    client_token: String,
    lease_duration: u64,
    renewable: bool,
}

/// What Vault knows of a token.
#[derive(Deserialize)]
struct LookedUp {
    data: Known,
}

#[derive(Deserialize)]
struct Known {
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

    /// The token to ask with now.
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
                // Whoever else needs a token waits for this one.
                None => self.log_in(client, &mut held),
            },
        }
    }

    /// Whether there is another token than this one, which was refused.
    pub(crate) fn another(&self, client: &Client, refused: &Secret) -> Result<bool, Error> {
        if let Credentials::AppRole { .. } = &self.credentials {
            let mut held = self.held();
            // Another question may have been faster.
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
        let ask = Ask::post("login", format!("auth/{mount}/login"), body);
        let answer = client.exchange(&ask, None).map_err(|error| match error.fault {
            Fault::Refused { asked, .. } | Fault::Denied { asked } => client.error(Fault::LoginRefused { asked }),
            _ => error,
        })?;
        let Given { auth } = client.read(&ask.name(), &answer)?;
        let text = Secret::new(&auth.client_token);
        *held = Some(Held { text: text.clone(), lease: Some(Lease::new(auth.lease_duration, auth.renewable)) });
        tracing::info!(seconds = auth.lease_duration, "logged in to Vault");
        Ok(text)
    }

    /// Renews the token if two thirds of its time are over, or gets another. Answers when to look again.
    pub(crate) fn tend(&self, client: &Client) -> Result<Duration, Error> {
        let text = self.current(client)?;
        let lease = match self.lease(&text) {
            Some(lease) => lease,
            None => self.look_up(client, &text)?,
        };
        let (Some(left), Some(lasts)) = (lease.left(), lease.lasts) else { return Ok(LOOK) };
        if left > lasts / 3 {
            meters::token(left);
            return Ok(left.saturating_sub(lasts / 3).clamp(SOON, LOOK));
        }
        let renewed = if lease.renewable { self.renew(client, &text, &lease)? } else { None };
        // What was renewed for a while only comes to the end of what its role allows.
        let enough = renewed.and_then(|lease| lease.left()).filter(|left| *left >= lease.at_first / 3);
        if let Some(left) = enough {
            meters::token(left);
            return Ok((left / 2).clamp(SOON, LOOK));
        }
        if self.another(client, &text)? {
            return Ok(SOON);
        }
        let left = renewed.and_then(|lease| lease.left()).unwrap_or(left);
        meters::token(left);
        tracing::warn!(
            seconds = left.as_secs(),
            "the token for Vault ends and can't be renewed for long: give another one"
        );
        Ok((left / 2).clamp(SOON, LOOK))
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

    /// How long a token is good that was given.
    fn look_up(&self, client: &Client, text: &Secret) -> Result<Lease, Error> {
        let ask = Ask::read("lookup_self", "auth/token/lookup-self".to_owned());
        let answer = client.exchange(&ask, Some(text)).map_err(|error| match error.fault {
            Fault::Denied { .. } => client.error(Fault::TokenRefused),
            _ => error,
        })?;
        let LookedUp { data } = client.read(&ask.name(), &answer)?;
        Ok(self.note(text, Lease::new(data.ttl, data.renewable)))
    }

    /// Renews a token; none: Vault does not.
    fn renew(&self, client: &Client, text: &Secret, lease: &Lease) -> Result<Option<Lease>, Error> {
        let ask = Ask::post("renew_self", "auth/token/renew-self".to_owned(), "{}".to_owned());
        match client.exchange(&ask, Some(text)) {
            Ok(answer) => {
                let Given { auth } = client.read(&ask.name(), &answer)?;
                let renewed = Lease { at_first: lease.at_first, ..Lease::new(auth.lease_duration, auth.renewable) };
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
