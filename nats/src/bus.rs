//! The connection to nats-server, its settings, and the change to another server of the cluster.

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_nats::ConnectOptions;
use async_nats::connection::State;
use async_nats::jetstream::Context;
use async_nats::jetstream::context::ContextBuilder;

use crate::Error;

/// The addresses and credentials of the bus.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The server, for example `nats://127.0.0.1:4222`; several servers of one cluster are separated by commas.
    pub url: String,
    /// The credentials.
    pub credentials: Credentials,
    /// The name of this connection, which the server shows in its monitoring.
    pub name: String,
    /// The timeout of one request, publish or confirmation.
    pub timeout: Duration,
    /// Whether [`Bus::connect`] returns even if no server answers yet. It then connects in the background.
    pub connect_later: bool,
}

impl Settings {
    /// Settings with a timeout of 5 seconds, for which [`Bus::connect`] fails if no server answers.
    pub fn new(url: impl Into<String>, credentials: Credentials, name: impl Into<String>) -> Self {
        Self { url: url.into(), credentials, name: name.into(), timeout: Duration::from_secs(5), connect_later: false }
    }

    /// The URLs of the servers.
    fn servers(&self) -> Vec<&str> {
        self.url.split(',').map(str::trim).filter(|url| !url.is_empty()).collect()
    }

    /// The URLs of the servers without credentials, for messages.
    fn shown(&self) -> String {
        let plain = |url: &str| match (url.split_once("://"), url.rsplit_once('@')) {
            (Some((scheme, _)), Some((_, server))) => format!("{scheme}://{server}"),
            (None, Some((_, server))) => server.to_owned(),
            (_, None) => url.to_owned(),
        };
        self.servers().into_iter().map(plain).collect::<Vec<_>>().join(",")
    }
}

/// Credentials. `Debug` does not show them.
#[derive(Clone, Default)]
pub enum Credentials {
    /// None are needed, or they are in the URL.
    #[default]
    None,
    /// User and password.
    Password {
        /// The user's name.
        user: String,
        /// The user's password.
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

/// A connection to the bus, which reconnects by itself. Cheap to clone.
#[derive(Clone)]
pub struct Bus {
    pub(crate) client: async_nats::Client,
    pub(crate) jetstream: Context,
    pub(crate) timeout: Duration,
    /// The servers that the connection has left on purpose; `None` when there is only one server.
    left: Option<Arc<Mutex<LeftServers>>>,
}

/// After leaving a server on purpose, the connection stays at the next one for at least this long.
const STAY: Duration = Duration::from_secs(3);

/// For this long the connection avoids a server that it left, unless it has left all of them.
const AVOID: Duration = Duration::from_mins(1);

/// The most reconnects until the connection is at a server that was not left. The client library picks any server, also one that was left.
const MAX_RECONNECTS: usize = 24;

/// The ids of the servers that were left on purpose, and when, in that order.
#[derive(Debug, Default)]
struct LeftServers(Vec<(String, Instant)>);

impl LeftServers {
    /// Records that a server is left. False, and nothing is recorded, when another one was left less than [`STAY`] ago.
    fn leave(&mut self, server: &str, now: Instant) -> bool {
        if self.0.last().is_some_and(|(_, left)| now.duration_since(*left) < STAY) {
            return false;
        }
        self.0.retain(|(other, left)| other != server && now.duration_since(*left) < AVOID);
        self.0.push((server.to_owned(), now));
        true
    }

    /// Whether the server was left and is still avoided.
    fn has(&self, server: &str) -> bool {
        self.0.iter().any(|(left, _)| left == server)
    }

    /// Stops avoiding the server that was left first, unless it is the only one. For when all servers were left: that one may work again.
    fn forget_oldest(&mut self) {
        if self.0.len() > 1 {
            self.0.remove(0);
        }
    }
}

impl Bus {
    /// Connects. If the connection is lost later, it reconnects in the background without a time limit.
    pub async fn connect(settings: &Settings) -> Result<Self, Error> {
        // With an empty list of servers the client library would loop for ever and block its thread.
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
            // The client disconnects from a server that hangs or is cut off after three unanswered pings.
            .ping_interval(Duration::from_secs(2))
            // Short delays at first, for a server that restarts; at most 1 s, so as not to flood a network that is down.
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

    /// Whether the connection is established at this moment.
    pub fn connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// Moves the connection to another server of the cluster, if there are several. Call it when requests are not answered although the
    /// connection is established: the server may be cut off from the others, and accept messages that it can't store. Returns when the
    /// connection is at another server, or after the timeout of the settings.
    pub async fn move_on(&self) {
        let Some(left) = &self.left else { return };
        let left = || left.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.connected() || !left().leave(&self.server_id(), Instant::now()) {
            return;
        }
        tracing::info!("the bus does not answer; the connection goes to another of its servers");
        // Limited by the timeout of a request, since it is useless when no other server can be reached.
        let moving = tokio::time::timeout(self.timeout, async {
            for attempt in 1..=MAX_RECONNECTS {
                self.reconnect().await;
                if !left().has(&self.server_id()) {
                    return;
                }
                if attempt % (MAX_RECONNECTS / 2) == 0 {
                    left().forget_oldest();
                }
            }
        });
        if moving.await.is_err() {
            tracing::debug!("no other server could be reached in time");
        }
    }

    /// The id of the server of the current connection, or of the last one; empty before the first connection.
    pub fn server_id(&self) -> String {
        self.client.server_info().server_id
    }

    /// Reconnects to any server, and returns when there is a new connection.
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

    /// Sends a request to JetStream and returns how long the answer took.
    pub async fn ping(&self) -> Result<Duration, Error> {
        let start = Instant::now();
        self.jetstream.query_account().await.map_err(|error| Error::Unavailable(error.to_string()))?;
        Ok(start.elapsed())
    }

    /// Sends all queued messages and closes the connection, also for all clones.
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
        let (mut left, begin) = (LeftServers::default(), Instant::now());
        assert!(left.leave("a", begin) && left.has("a") && !left.has("b"));
        assert!(!left.leave("b", begin + STAY / 2), "it stays for a while");
        assert!(!left.has("b"));
        assert!(left.leave("b", begin + STAY) && left.has("a") && left.has("b"));
        left.forget_oldest();
        assert!(!left.has("a") && left.has("b"));
        left.forget_oldest();
        assert!(left.has("b"), "not back to the one that was left a moment ago");
        assert!(left.leave("c", begin + STAY + AVOID) && left.has("c") && !left.has("b"));
    }
}
