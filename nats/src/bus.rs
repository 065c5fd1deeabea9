//! The connection.

use std::fmt;
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
    /// When it left a server by itself; none: there is no other to go to.
    moved: Option<Arc<Mutex<Option<Instant>>>>,
}

/// A connection stays at a server for so long at least, before it leaves it by itself.
const STAY: Duration = Duration::from_secs(3);

impl Bus {
    /// Connects. Later losses of the connection are mended in the background, for as long as it takes.
    pub async fn connect(settings: &Settings) -> Result<Self, Error> {
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
            async_nats::ConnectErrorKind::ServerParse => Error::Settings(format!("{}: {error}", settings.url)),
            _ => Error::Unavailable(format!("{}: {error}", settings.url)),
        })?;
        let jetstream =
            ContextBuilder::new().timeout(settings.timeout).ack_timeout(settings.timeout).build(client.clone());
        let moved = (settings.servers().len() > 1).then(Arc::default);
        Ok(Self { client, jetstream, timeout: settings.timeout, moved })
    }

    /// Whether the connection stands at this moment.
    pub fn connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// Leaves the server for another one of the cluster, if there are several: this one may be cut off from the others, and still
    /// take what it can't keep. For who was not answered though the connection stands.
    pub async fn move_on(&self) {
        let Some(moved) = &self.moved else { return };
        {
            let mut moved = moved.lock().unwrap_or_else(PoisonError::into_inner);
            if !self.connected() || moved.is_some_and(|moved| moved.elapsed() < STAY) {
                return;
            }
            *moved = Some(Instant::now());
        }
        tracing::info!("the bus does not answer; the connection goes to another of its servers");
        if let Err(error) = self.client.force_reconnect().await {
            tracing::debug!(%error, "the connection could not be moved to another server");
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
