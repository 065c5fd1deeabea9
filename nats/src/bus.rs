//! The connection.

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_nats::ConnectOptions;
use async_nats::connection::State;
use async_nats::jetstream::Context;
use async_nats::jetstream::context::ContextBuilder;

use crate::Error;

/// Where the bus is and how to get in.
#[derive(Clone, Debug)]
pub struct Settings {
    /// For example `nats://127.0.0.1:4222`; several servers of one cluster with commas between.
    pub url: String,
    /// How to get in.
    pub credentials: Credentials,
    /// What the server shows as this connection's name.
    pub name: String,
    /// How long one request, publish or confirmation may take.
    pub timeout: Duration,
    /// Whether [`Bus::connect`] returns although the server does not answer yet; it then connects in the background.
    pub connect_later: bool,
}

impl Settings {
    /// Settings with a time limit of 5 seconds that insist on a connection at the start.
    pub fn new(url: impl Into<String>, credentials: Credentials, name: impl Into<String>) -> Self {
        Self { url: url.into(), credentials, name: name.into(), timeout: Duration::from_secs(5), connect_later: false }
    }

    /// Each server by itself.
    fn servers(&self) -> Vec<&str> {
        self.url.split(',').map(str::trim).filter(|url| !url.is_empty()).collect()
    }

    /// The servers, without what a URL says of how to get in.
    fn shown(&self) -> String {
        let plain = |url: &str| match (url.split_once("://"), url.rsplit_once('@')) {
            (Some((scheme, _)), Some((_, server))) => format!("{scheme}://{server}"),
            (None, Some((_, server))) => server.to_owned(),
            (_, None) => url.to_owned(),
        };
        self.servers().into_iter().map(plain).collect::<Vec<_>>().join(",")
    }
}

/// How to get in. Never shown.
#[derive(Clone, Default)]
pub enum Credentials {
    /// The server asks nothing, or the URL says it.
    #[default]
    None,
    /// User and password.
    Password {
        /// The user's name.
        user: String,
        /// Their password.
        password: String,
    },
    /// A token.
    Token(String),
    /// The text of a `.creds` file: a JWT and its nkey.
    Creds(String),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Password { .. } => "Password(…)",
            Self::Token(_) => "Token(…)",
            Self::Creds(_) => "Creds(…)",
        })
    }
}

/// A connection to the bus that mends itself. Cheap to clone.
#[derive(Clone)]
pub struct Bus {
    pub(crate) client: async_nats::Client,
    pub(crate) jetstream: Context,
    pub(crate) timeout: Duration,
    /// The servers that it left by itself; none: there is no other to go to.
    left: Option<Arc<Mutex<Left>>>,
}

/// A connection stays at a server for so long at least, before it leaves it by itself.
const STAY: Duration = Duration::from_secs(3);

/// So long it does not come back to a server that it left, unless it has left them all.
const AVOID: Duration = Duration::from_mins(1);

/// So often it tries to come to a server that it did not leave: the library takes any, also the one that was left.
const TRIES: usize = 24;

/// Servers that were left, by their ids, and when; the last one last.
#[derive(Debug, Default)]
struct Left(Vec<(String, Instant)>);

impl Left {
    /// Leaves a server, unless another one was left a moment ago.
    fn leave(&mut self, server: &str, now: Instant) -> bool {
        if self.0.last().is_some_and(|(_, left)| now.duration_since(*left) < STAY) {
            return false;
        }
        self.0.retain(|(other, left)| other != server && now.duration_since(*left) < AVOID);
        self.0.push((server.to_owned(), now));
        true
    }

    fn has(&self, server: &str) -> bool {
        self.0.iter().any(|(left, _)| left == server)
    }

    /// All were left: the one that was left first may be well again.
    fn forgive(&mut self) {
        if self.0.len() > 1 {
            self.0.remove(0);
        }
    }
}

impl Bus {
    /// Connects. Later losses of the connection are mended in the background, for as long as it takes.
    pub async fn connect(settings: &Settings) -> Result<Self, Error> {
        // The library looks for one of none for ever, and lets nobody else have its thread.
        if settings.servers().is_empty() {
            return Err(Error::Settings(format!("{:?} names no nats-server", settings.url)));
        }
        let mut options = match &settings.credentials {
            Credentials::None => ConnectOptions::new(),
            Credentials::Password { user, password } => {
                ConnectOptions::with_user_and_password(user.clone(), password.clone())
            }
            Credentials::Token(token) => ConnectOptions::with_token(token.clone()),
            Credentials::Creds(text) => {
                ConnectOptions::with_credentials(text).map_err(|error| Error::Settings(error.to_string()))?
            }
        };
        options = options
            .name(&settings.name)
            .request_timeout(Some(settings.timeout))
            .connection_timeout(settings.timeout)
            // A server that hangs, or is cut off, is left after three of these.
            .ping_interval(Duration::from_secs(2))
            // A dead server is found again fast, a dead network not stormed.
            .reconnect_delay_callback(|attempt| Duration::from_millis((attempt as u64 * 50).min(1_000)));
        if settings.connect_later {
            options = options.retry_on_initial_connect();
        }
        let client = options.connect(settings.servers()).await.map_err(|error| match error.kind() {
            async_nats::ConnectErrorKind::ServerParse => Error::Settings(format!("{}: {error}", settings.shown())),
            _ => Error::Unavailable(format!("{}: {error}", settings.shown())),
        })?;
        let jetstream =
            ContextBuilder::new().timeout(settings.timeout).ack_timeout(settings.timeout).build(client.clone());
        let left = (settings.servers().len() > 1).then(Arc::default);
        Ok(Self { client, jetstream, timeout: settings.timeout, left })
    }

    /// Whether the connection stands at this moment.
    pub fn connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// Leaves the server for another one of the cluster, if there are several: this one may be cut off from the others, and still
    /// take what it can't keep. For who was not answered though the connection stands. Returns when it stands elsewhere.
    pub async fn move_on(&self) {
        let Some(left) = &self.left else { return };
        let left = || left.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.connected() || !left().leave(&self.server_id(), Instant::now()) {
            return;
        }
        tracing::info!("the bus does not answer; the connection goes to another of its servers");
        // Nobody waits longer than for an answer: where no other server can be reached it is of no use.
        let moving = tokio::time::timeout(self.timeout, async {
            for attempt in 1..=TRIES {
                self.reconnect().await;
                if !left().has(&self.server_id()) {
                    return;
                }
                if attempt % (TRIES / 2) == 0 {
                    left().forgive();
                }
            }
        });
        if moving.await.is_err() {
            tracing::debug!("no other server could be reached in time");
        }
    }

    /// The id of the server at which the connection stands, or stood last; empty before the first one.
    pub fn server_id(&self) -> String {
        self.client.server_info().server_id
    }

    /// Returns when there is a new connection, to whichever server.
    async fn reconnect(&self) {
        let statistics = self.client.statistics();
        let connects = || statistics.connects.load(Ordering::Relaxed);
        let before = connects();
        if let Err(error) = self.client.force_reconnect().await {
            tracing::debug!(%error, "the connection could not be moved to another server");
            return;
        }
        while connects() == before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Asks JetStream whether it is there; how long the answer took.
    pub async fn ping(&self) -> Result<Duration, Error> {
        let start = Instant::now();
        self.jetstream.query_account().await.map_err(|error| Error::Unavailable(error.to_string()))?;
        Ok(start.elapsed())
    }

    /// Sends what is still waiting to be sent and ends the connection, for all clones.
    pub async fn close(&self) -> Result<(), Error> {
        self.client.drain().await.map_err(|error| Error::Unavailable(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_servers_does_not_say_how_to_get_in() {
        let shown = |url: &str| Settings::new(url, Credentials::None, "test").shown();
        assert_eq!(
            shown("nats://app:canary@10.0.0.7:4222, tls://canary@10.0.0.8"),
            "nats://10.0.0.7:4222,tls://10.0.0.8"
        );
        assert_eq!(shown("app:can@ry@10.0.0.7"), "10.0.0.7");
        assert_eq!(shown("nats://127.0.0.1:4222"), "nats://127.0.0.1:4222");
    }

    #[tokio::test]
    async fn a_url_that_names_no_server_is_refused_also_by_who_connects_later() {
        for url in ["", " ", ",", " , "] {
            let settings = Settings { connect_later: true, ..Settings::new(url, Credentials::None, "test") };
            assert!(matches!(Bus::connect(&settings).await, Err(Error::Settings(_))), "{url:?}");
        }
    }

    #[test]
    fn a_server_that_was_left_is_avoided_for_a_while_and_the_first_one_comes_again_when_all_were() {
        let (mut left, begin) = (Left::default(), Instant::now());
        assert!(left.leave("a", begin) && left.has("a") && !left.has("b"));
        assert!(!left.leave("b", begin + STAY / 2), "it stays for a while");
        assert!(!left.has("b"));
        assert!(left.leave("b", begin + STAY) && left.has("a") && left.has("b"));
        left.forgive();
        assert!(!left.has("a") && left.has("b"));
        left.forgive();
        assert!(left.has("b"), "not back to the one that was left a moment ago");
        assert!(left.leave("c", begin + STAY + AVOID) && left.has("c") && !left.has("b"));
    }
}
