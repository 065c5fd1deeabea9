//! The private servers of a run: Postgres, nats-server, and a mail server.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use kernel::Service;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgSslMode};
use sqlx::{ConnectOptions, PgConnection, PgPool};
use testbed::{MailServer, Nats, Postgres};

use crate::cpu;

/// Number of infrastructures that this program has started.
static STARTED: AtomicU32 = AtomicU32::new(0);

/// The private servers, and an id that tells this run from others. The servers end when it is dropped.
pub struct Infrastructure {
    postgres: Postgres,
    nats: Nats,
    mail: MailServer,
    folder: PathBuf,
    run: Arc<str>,
}

impl Infrastructure {
    /// Starts all servers.
    pub async fn start() -> anyhow::Result<Self> {
        let mut postgres = Postgres::private();
        let mut connection = postgres.admin().connect().await.context("the private Postgres can't be reached")?;
        // The same for all servers under test. `fsync` stays on.
        let quiet = ("log_min_messages", "fatal".to_owned());
        for (name, value) in eventstore::server_settings().into_iter().chain([quiet]) {
            sqlx::raw_sql(&format!("ALTER SYSTEM SET {name} = '{value}'")).execute(&mut connection).await?;
        }
        drop(connection);
        // One of the settings needs a restart. A kill does no harm, because there is no data yet.
        postgres.kill();
        postgres.restart();
        let run = format!("inopsio-bench-{}-{}", std::process::id(), STARTED.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(&run);
        std::fs::create_dir_all(&folder).with_context(|| format!("can't make {}", folder.display()))?;
        Ok(Self { postgres, nats: Nats::start().await, mail: MailServer::start().await, folder, run: run.into() })
    }

    /// URL of the nats-server.
    pub fn nats_url(&self) -> String {
        self.nats.url()
    }

    /// URL of the mail server.
    pub fn mail_url(&self) -> String {
        self.mail.url()
    }

    /// The link in the last mail to an address. Waits for the mail, at most for `patience`.
    pub async fn mailed_link(&self, to: &str, patience: Duration) -> anyhow::Result<String> {
        let begun = Instant::now();
        loop {
            if let Some(mail) = self.mail.mails().into_iter().rev().find(|mail| mail.to == to) {
                // Decode quoted-printable (RFC 2045, 6.7): soft line breaks, and `=` written as `=3D`.
                let text = mail.data.replace("=\r\n", "").replace("=\n", "").replace("=3D", "=");
                let link = text.lines().find(|line| line.starts_with("http://"));
                return Ok(link.with_context(|| format!("no link in the mail to {to}"))?.trim().to_owned());
            }
            ensure!(begun.elapsed() < patience, "no mail came to {to} within {patience:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Kills Postgres (SIGKILL).
    pub fn kill_postgres(&mut self) {
        self.postgres.kill();
    }

    /// Starts Postgres again and waits until it accepts connections.
    pub fn restart_postgres(&mut self) {
        self.postgres.restart();
    }

    /// Kills the nats-server (SIGKILL).
    pub fn kill_nats(&mut self) {
        self.nats.kill();
    }

    /// Starts the nats-server again and waits until it listens.
    pub async fn restart_nats(&mut self) {
        self.nats.restart().await;
    }

    /// The superuser's connection options.
    pub fn admin(&self) -> PgConnectOptions {
        self.postgres.admin()
    }

    /// Postgres' port.
    pub fn port(&self) -> u16 {
        self.postgres.port()
    }

    /// The connection settings for a service's database.
    pub fn database(&self, service: Service, name: &str) -> eventstore::Database {
        let mut database =
            eventstore::Database::local(service, self.port(), eventstore::Secret::new(testbed::PASSWORD));
        name.clone_into(&mut database.name);
        database.ssl_mode = PgSslMode::Disable;
        database
    }

    /// An empty folder of this run.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A pool with one superuser connection to a database, which is opened at its first use.
    pub fn pool(&self, database: &str) -> PgPool {
        PgPoolOptions::new().max_connections(1).connect_lazy_with(self.admin().database(database))
    }

    /// Processor time that the servers have used so far.
    pub fn used(&self) -> anyhow::Result<Used> {
        let nats = self.nats.pid().context("the nats-server does not run")?;
        Ok(Used { postgres: cpu::seconds_of_family(self.postgres.pid())?, nats: cpu::seconds(nats)? })
    }

    /// An id that is unique to this run.
    pub fn run_id(&self) -> Arc<str> {
        self.run.clone()
    }

    /// Creates an empty database. Returns its URL for the superuser.
    pub async fn create_database(&self, name: &str) -> anyhow::Result<String> {
        let mut connection: PgConnection = self.admin().connect().await.context("Postgres can't be reached")?;
        sqlx::raw_sql(&format!("CREATE DATABASE {name}")).execute(&mut connection).await?;
        Ok(format!("postgres://postgres@127.0.0.1:{}/{name}", self.postgres.port()))
    }
}

/// Processor time in seconds, of all cores.
#[derive(Clone, Copy, Debug)]
pub struct Used {
    /// Postgres with all its backends.
    pub postgres: f64,
    /// The nats-server.
    pub nats: f64,
}

impl Drop for Infrastructure {
    fn drop(&mut self) {
        // Ignore errors: a folder that remains in the temporary directory does no harm.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
