//! Our server: the program `inopsio`, configured by environment variables as in any deployment.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use jwt_simple::prelude::{Ed25519KeyPair, EdDSAKeyPairLike, EdDSAPublicKeyLike, Token};
use kernel::{IdSource, SystemIds};
use serde_json::{Map, Value};
use tokio::process::Command;
use uuid::Uuid;

use super::child::Child;
use super::{Backlog, Credentials, Name, Target};
use crate::infrastructure::Infrastructure;
use crate::load::{Aim, Connection};

/// Number of events that the slowest read model has not applied yet.
const BACKLOG: &str = "SELECT (SELECT position FROM log.head) - (SELECT min(position) FROM projector.checkpoints)";

/// Adds tenants to the directory only.
const LIST: &str = "INSERT INTO tenants (tenant_id, slug, name, created_at)
     SELECT t.tenant_id, t.slug, t.slug, now() FROM unnest($1::uuid[], $2::text[]) AS t (tenant_id, slug)";

/// Maximum time until the server is ready.
const PATIENCE: Duration = Duration::from_secs(30);

/// The program with its configuration.
#[derive(Clone)]
pub struct Inopsio {
    program: PathBuf,
    /// The folder it runs in: it is empty, so that no configuration file is found.
    folder: PathBuf,
    environment: Vec<(&'static str, String)>,
}

/// A tenant for the benchmark.
pub struct Tenant {
    /// Its id.
    pub id: uuid::Uuid,
    /// Its short name.
    pub slug: String,
}

impl Inopsio {
    /// The program `program` (the one in this program's folder unless given), configured for this infrastructure with new keys and a
    /// database of this run.
    pub fn new(program: Option<&Path>, infrastructure: &Infrastructure, database: &str) -> anyhow::Result<Self> {
        let beside = || Ok::<_, anyhow::Error>(std::env::current_exe()?.with_file_name("inopsio"));
        let program = program.map_or_else(beside, |program| Ok(program.to_owned()))?;
        let program = program.canonicalize().with_context(|| {
            format!("{} is not there: build it with `cargo build --release --bin inopsio`", program.display())
        })?;
        let key = Ed25519KeyPair::generate();
        let port = infrastructure.port();
        let environment = vec![
            ("INOPSIO_POSTGRES_HOST", "127.0.0.1".to_owned()),
            ("INOPSIO_POSTGRES_PORT", port.to_string()),
            ("INOPSIO_POSTGRES_SSL_MODE", "disable".to_owned()),
            ("INOPSIO_POSTGRES_PASSWORD", testbed::PASSWORD.to_owned()),
            ("INOPSIO_POSTGRES_ADMIN_URL", format!("postgres://postgres@127.0.0.1:{port}/postgres")),
            ("INOPSIO_DATABASE_CRM", database.to_owned()),
            ("INOPSIO_CLAIM_KEY", "be".repeat(32)),
            ("INOPSIO_MASTER_KEY", "4a".repeat(32)),
            ("INOPSIO_NATS_URL", infrastructure.nats_url()),
            ("INOPSIO_AUTH_PUBLIC_KEY", key.public_key().to_pem()),
            ("INOPSIO_AUTH_SIGNING_KEY", key.to_pem()),
            // No rate limits: the server's capacity is to be measured.
            ("INOPSIO_RATE_TENANT", "0".to_owned()),
            ("INOPSIO_RATE_TOKEN", "0".to_owned()),
            ("INOPSIO_SMTP_URL", infrastructure.mail_url()),
            ("INOPSIO_MAIL_FROM", "bench@example.com".to_owned()),
            ("INOPSIO_LOG", "warn".to_owned()),
        ];
        Ok(Self { program, folder: infrastructure.folder().to_owned(), environment })
    }

    /// A copy that uses another database for CRM.
    pub fn with_database(&self, name: &str) -> Self {
        self.with("INOPSIO_DATABASE_CRM", name)
    }

    /// A copy that uses another nats-server.
    pub fn with_nats(&self, url: &str) -> Self {
        self.with("INOPSIO_NATS_URL", url)
    }

    fn with(&self, name: &str, new: &str) -> Self {
        let mut other = self.clone();
        for (setting, value) in &mut other.environment {
            if *setting == name {
                new.clone_into(value);
            }
        }
        other
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments).env_clear().envs(self.environment.iter().cloned()).current_dir(&self.folder);
        command
    }

    /// Runs a command to its end. Returns its output.
    pub async fn run(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = self.command(arguments).stderr(Stdio::piped()).output().await.context("inopsio can't be run")?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        ensure!(
            output.status.success(),
            "inopsio {}: {}\n{}",
            arguments.join(" "),
            output.status,
            text(&output.stderr)
        );
        Ok(text(&output.stdout))
    }

    /// Runs a command to its end and discards its output. Returns the duration.
    pub async fn time(&self, arguments: &[&str]) -> anyhow::Result<Duration> {
        let started = Instant::now();
        let status = self.command(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status().await?;
        ensure!(status.success(), "inopsio {}: {status}", arguments.join(" "));
        Ok(started.elapsed())
    }

    /// Creates a tenant.
    pub async fn tenant(&self, slug: &str) -> anyhow::Result<Tenant> {
        let created: Value = serde_json::from_str(&self.run(&["tenant", "create", slug, "--format", "json"]).await?)?;
        let id = created["tenant_id"].as_str().and_then(|id| id.parse().ok());
        Ok(Tenant { id: id.with_context(|| format!("no id in {created}"))?, slug: slug.to_owned() })
    }

    /// Issues a token for a tenant's administrator.
    pub async fn token(&self, tenant: &Tenant) -> anyhow::Result<Arc<str>> {
        Ok(self
            .run(&["token", "--tenant", &tenant.slug, "--role", "admin", "--subject", "bench", "--ttl", "8h"])
            .await?
            .into())
    }

    /// Creates this number of tenants, named `name` and a number. Returns a token for each.
    pub async fn credentials(&self, name: &str, tenants: usize) -> anyhow::Result<Credentials> {
        let tokens = stream::iter(0..tenants)
            .map(|number| async move { self.token(&self.tenant(&format!("{name}-{number}")).await?).await })
            .buffered(2)
            .try_collect()
            .await?;
        Ok(Credentials { public_key: self.setting("INOPSIO_AUTH_PUBLIC_KEY").to_owned(), tokens })
    }

    /// Makes tokens for this number of new tenants from the token `like`, which [`token`](Self::token) issued. The tenants are only added
    /// to the directory: full provisioning is a saga, which takes over eight minutes for a thousand tenants, and CRM's commands don't need
    /// it.
    pub async fn listed(
        &self,
        infrastructure: &Infrastructure,
        name: &str,
        tenants: usize,
        like: &str,
    ) -> anyhow::Result<Vec<Arc<str>>> {
        let ids: Vec<Uuid> = (0..tenants).map(|_| SystemIds.next()).collect();
        let slugs: Vec<String> = (0..tenants).map(|number| format!("{name}-{number}")).collect();
        sqlx::query(LIST).bind(&ids).bind(&slugs).execute(&infrastructure.pool("inopsio_directory")).await?;
        let key = Ed25519KeyPair::from_pem(self.setting("INOPSIO_AUTH_SIGNING_KEY"))?;
        let header = Token::decode_metadata(like)?;
        let key = header.key_id().map_or_else(|| key.clone(), |id| key.clone().with_key_id(id));
        let claims = key.public_key().verify_token::<Map<String, Value>>(like, None)?;
        let token = |id: &Uuid| -> anyhow::Result<Arc<str>> {
            let mut claims = claims.clone();
            claims.custom.insert("tenant".to_owned(), id.to_string().into());
            Ok(key.sign(claims)?.into())
        };
        ids.iter().map(token).collect()
    }

    /// Starts the server. Returns it and the time from the start of the process until it was ready.
    pub async fn serve(
        &self,
        infrastructure: &Infrastructure,
        credentials: &Credentials,
    ) -> anyhow::Result<(Target, Duration)> {
        self.serve_at(free_address()?, infrastructure, credentials).await
    }

    /// The same on a given address.
    pub async fn serve_at(
        &self,
        addr: SocketAddr,
        infrastructure: &Infrastructure,
        credentials: &Credentials,
    ) -> anyhow::Result<(Target, Duration)> {
        let started = Instant::now();
        let child = Child::start(self.command(&["serve", "--port", &addr.port().to_string()]).stdout(Stdio::null()))?;
        wait_until_ready(addr, started).await?;
        let took = started.elapsed();
        let backlog = Backlog::Query(infrastructure.pool(self.setting("INOPSIO_DATABASE_CRM")), BACKLOG);
        let aim = Aim { addr, tokens: credentials.tokens.clone(), zipf: None, run: infrastructure.run_id() };
        Ok((Target { name: Name::Ours, aim, child, backlog }, took))
    }

    fn setting(&self, name: &str) -> &str {
        self.environment.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value)
    }
}

/// An address with a currently free port.
pub fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

async fn wait_until_ready(addr: SocketAddr, started: Instant) -> anyhow::Result<()> {
    loop {
        if let Ok(mut connection) = Connection::open(addr).await {
            let answer = connection.send(b"GET /ready HTTP/1.1\r\nhost: bench\r\n\r\n").await?;
            match answer.status {
                200 => return Ok(()),
                503 => {}
                status => bail!("/ready answers {status} {}", String::from_utf8_lossy(answer.body)),
            }
        }
        ensure!(started.elapsed() < PATIENCE, "inopsio serve is not ready after {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
