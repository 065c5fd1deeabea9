//! What everything runs on: one private Postgres, one private nats-server and one that takes mail, for this run only.

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

/// How Postgres is set up, for everybody alike. It writes through (`fsync`), as it must.
const SETTINGS: [&str; 4] = [
    "ALTER SYSTEM SET shared_buffers = '256MB'",
    "ALTER SYSTEM SET max_wal_size = '4GB'",
    "ALTER SYSTEM SET checkpoint_timeout = '15min'",
    "ALTER SYSTEM SET log_min_messages = 'fatal'",
];

/// How many were started by this program.
static STARTED: AtomicU32 = AtomicU32::new(0);

/// The servers, and what tells this run from others. They end with it.
pub struct Infrastructure {
    postgres: Postgres,
    nats: Nats,
    mail: MailServer,
    folder: PathBuf,
    run: Arc<str>,
}

impl Infrastructure {
    /// Starts all.
    pub async fn start() -> anyhow::Result<Self> {
        let mut postgres = Postgres::private();
        let mut connection = postgres.admin().connect().await.context("the private Postgres can't be reached")?;
        for setting in SETTINGS {
            sqlx::raw_sql(setting).execute(&mut connection).await?;
        }
        drop(connection);
        // One of the settings needs a new start; nothing is there yet that a kill could harm.
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

    /// The link of the last mail to somebody, once it is there.
    pub async fn mailed_link(&self, to: &str, patience: Duration) -> anyhow::Result<String> {
        let begun = Instant::now();
        loop {
            if let Some(mail) = self.mail.mails().into_iter().rev().find(|mail| mail.to == to) {
                // As quoted-printable text has it (RFC 2045, 6.7): lines that are too long are broken, and `=` is written out.
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

    /// Starts it again, and waits until it accepts connections.
    pub fn restart_postgres(&mut self) {
        self.postgres.restart();
    }

    /// Kills the nats-server (SIGKILL).
    pub fn kill_nats(&mut self) {
        self.nats.kill();
    }

    /// Starts it again, and waits until it listens.
    pub async fn restart_nats(&mut self) {
        self.nats.restart().await;
    }

    /// How Postgres' superuser connects.
    pub fn admin(&self) -> PgConnectOptions {
        self.postgres.admin()
    }

    /// Postgres' port.
    pub fn port(&self) -> u16 {
        self.postgres.port()
    }

    /// A service's database on it.
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

    /// A look into a database, as a superuser; connects when it is first used.
    pub fn pool(&self, database: &str) -> PgPool {
        PgPoolOptions::new().max_connections(1).connect_lazy_with(self.admin().database(database))
    }

    /// What the servers here have used of the processors so far.
    pub fn used(&self) -> anyhow::Result<Used> {
        let nats = self.nats.pid().context("the nats-server does not run")?;
        Ok(Used { postgres: cpu::seconds_of_family(self.postgres.pid())?, nats: cpu::seconds(nats)? })
    }

    /// A name for this run.
    pub fn run_id(&self) -> Arc<str> {
        self.run.clone()
    }

    /// Makes an empty database; its URL, as a superuser.
    pub async fn create_database(&self, name: &str) -> anyhow::Result<String> {
        let mut connection: PgConnection = self.admin().connect().await.context("Postgres can't be reached")?;
        sqlx::raw_sql(&format!("CREATE DATABASE {name}")).execute(&mut connection).await?;
        Ok(format!("postgres://postgres@127.0.0.1:{}/{name}", self.postgres.port()))
    }
}

/// Seconds of processor time, of all cores together.
#[derive(Clone, Copy, Debug)]
pub struct Used {
    /// Postgres with all its backends.
    pub postgres: f64,
    /// The nats-server.
    pub nats: f64,
}

impl Drop for Infrastructure {
    fn drop(&mut self) {
        // A folder that stays behind in the temporary directory does no harm.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
