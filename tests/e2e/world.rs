//! The environment of a test: servers, migrated databases, tenants, and `inopsio` configured for them by environment variables.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use gateway::auth::KeyPair;
use kernel::{RecordedEvent, Service};
use serde_json::Value;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection};
use testbed::{Nats, PASSWORD, Postgres, eventually};

use crate::client::Client;
use crate::process::Serve;
use crate::{log, read_models, stream};

/// The service under test.
pub const CRM: Service = Service::new("crm");

/// Base URLs of the running `inopsio serve` processes that clients use, by number.
pub type ServerUrls = Arc<Mutex<BTreeMap<usize, String>>>;

/// Servers, folder and settings of a test.
pub struct World {
    servers: BTreeMap<usize, Serve>,
    starts: usize,
    pub server_urls: ServerUrls,
    pub nats: Nats,
    /// The other nats-servers of its cluster.
    pub peers: Vec<Nats>,
    pub postgres: Postgres,
    folder: PathBuf,
    environment: Vec<(&'static str, String)>,
}

impl World {
    /// New servers and migrated databases, without tenants and without a running `inopsio`.
    pub async fn new() -> Self {
        Self::on(Postgres::unsynced()).await
    }

    /// The same with this Postgres.
    pub async fn on(postgres: Postgres) -> Self {
        Self::made_of(postgres, Nats::start().await, Vec::new())
    }

    /// The same with this nats-server.
    pub fn with(nats: Nats) -> Self {
        Self::made_of(Postgres::unsynced(), nats, Vec::new())
    }

    /// The same with a cluster of three nats-servers and three replicas of each stream.
    pub async fn clustered() -> Self {
        Self::beside(Nats::cluster(3).await)
    }

    /// The same with these nats-servers, which form a cluster.
    pub fn beside(mut nodes: Vec<Nats>) -> Self {
        let first = nodes.remove(0);
        Self::made_of(Postgres::unsynced(), first, nodes)
    }

    /// Another cell of the same installation: its own servers, but the same keys and the same directory of tenants. (The directory must
    /// exist already.)
    pub async fn another_cell(first: &Self, name: &str) -> Self {
        let directory = format!(
            "postgres://inopsio_directory:{}@127.0.0.1:{}/inopsio_directory",
            PASSWORD.replace(' ', "%20"),
            first.postgres.port()
        );
        let mut shared = first.environment.clone();
        shared.retain(|(name, _)| name.ends_with("_KEY"));
        shared.extend([("INOPSIO_CELL", name.to_owned()), ("INOPSIO_DIRECTORY_URL", directory)]);
        Self::configured_with(Postgres::unsynced(), Nats::start().await, Vec::new(), shared)
    }

    fn made_of(postgres: Postgres, nats: Nats, peers: Vec<Nats>) -> Self {
        Self::configured_with(postgres, nats, peers, Vec::new())
    }

    fn configured_with(
        postgres: Postgres,
        nats: Nats,
        peers: Vec<Nats>,
        settings: Vec<(&'static str, String)>,
    ) -> Self {
        let folder = std::env::temp_dir().join(format!("inopsio-e2e-{}-{}", std::process::id(), nats.port()));
        std::fs::create_dir(&folder).unwrap();
        let keys = KeyPair::generate();
        let port = postgres.port();
        let mut environment = vec![
            ("INOPSIO_HOME", folder.join("home").display().to_string()),
            ("INOPSIO_PORT", "0".to_owned()),
            ("INOPSIO_POSTGRES_PORT", port.to_string()),
            ("INOPSIO_POSTGRES_PASSWORD", PASSWORD.to_owned()),
            ("INOPSIO_POSTGRES_ADMIN_URL", format!("postgres://postgres@127.0.0.1:{port}/postgres")),
            ("INOPSIO_CLAIM_KEY", "5e".repeat(32)),
            ("INOPSIO_MASTER_KEY", "4a".repeat(32)),
            ("INOPSIO_NATS_URL", urls(&nats, &peers)),
            ("INOPSIO_NATS_REPLICAS", if peers.is_empty() { "1" } else { "3" }.to_owned()),
            ("INOPSIO_AUTH_PUBLIC_KEY", keys.public_key),
            ("INOPSIO_AUTH_SIGNING_KEY", keys.signing_key),
            // No rate limits: they would only disturb the load.
            ("INOPSIO_RATE_TENANT", "0".to_owned()),
            ("INOPSIO_RATE_TOKEN", "0".to_owned()),
            // Webhook receivers run on this machine.
            ("INOPSIO_WEBHOOKS_ALLOW_PRIVATE", "true".to_owned()),
            ("INOPSIO_LOG", "warn,gateway::server=info".to_owned()),
            ("INOPSIO_LOG_FORMAT", "json".to_owned()),
        ];
        for (name, value) in settings {
            environment.retain(|(known, _)| *known != name);
            environment.push((name, value));
        }
        let servers = BTreeMap::new();
        let world =
            Self { servers, starts: 0, server_urls: ServerUrls::default(), nats, peers, postgres, folder, environment };
        world.ok(&["migrate"]);
        world
    }

    /// A temporary folder for further files of the test.
    pub fn folder(&self) -> &std::path::Path {
        &self.folder
    }

    /// A command that runs `inopsio` with this world's settings and none of the test run's own.
    fn inopsio(&self, arguments: &[&str]) -> Command {
        let mut command = testbed::unconfigured(env!("CARGO_BIN_EXE_inopsio"));
        command.args(arguments).current_dir(&self.folder).envs(self.environment.iter().cloned()).stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.inopsio(arguments).output().unwrap()
    }

    /// Starts a command in the background, usually to be killed.
    pub fn spawn(&self, arguments: &[&str]) -> Child {
        self.inopsio(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// Runs a command with one setting that differs from this world's.
    pub fn configured(&self, arguments: &[&str], setting: &str, value: &str) -> Output {
        self.inopsio(arguments).env(setting, value).output().unwrap()
    }

    /// Runs a command that must succeed. Returns its standard output.
    pub fn ok(&self, arguments: &[&str]) -> String {
        let Output { status, stdout, stderr } = self.run(arguments);
        assert!(status.success(), "inopsio {arguments:?}: {status}\n{}", String::from_utf8_lossy(&stderr));
        String::from_utf8(stdout).unwrap()
    }

    /// Creates a tenant. Returns a client with its administrator's token.
    pub fn tenant(&self, slug: &str) -> Client {
        self.ok(&["tenant", "create", slug]);
        self.client(slug)
    }

    /// A client with the administrator's token of an existing tenant.
    pub fn client(&self, slug: &str) -> Client {
        // Signed with the installation's key, because a token of the tenant's issuer is checked against the log, which tests break.
        let token = self.ok(&["token", "--tenant", slug, "--role", "admin", "--subject", "e2e"]);
        Client::new(self.server_urls.clone(), token.trim())
    }

    /// Starts the `inopsio serve` with this number. Clients use it from then on.
    pub async fn start(&mut self, number: usize) {
        let command = self.inopsio(&["serve"]);
        self.launch(number, command).await;
        self.open(number);
    }

    /// Sets a variable for all processes that are started from now on.
    pub fn set(&mut self, name: &'static str, value: String) {
        self.environment.retain(|(known, _)| *known != name);
        self.environment.push((name, value));
    }

    /// Starts all services on this port as a cell behind a front. Clients don't use it directly.
    pub async fn start_cell(&mut self, number: usize, port: u16) {
        let command = self.inopsio(&["serve", "--port", &port.to_string()]);
        self.launch(number, command).await;
    }

    /// Starts a front for the cells in the configuration file in this world's folder.
    pub async fn start_front(&mut self, number: usize) {
        let command = self.inopsio(&["serve", "--cells"]);
        self.launch(number, command).await;
        self.open(number);
    }

    /// A client that uses only the `inopsio serve` with this number, as the administrator of a tenant.
    pub fn direct(&self, number: usize, slug: &str) -> Client {
        let token = self.ok(&["token", "--tenant", slug, "--role", "admin", "--subject", "e2e"]);
        Client::new(Arc::new(Mutex::new(BTreeMap::from([(0, self.servers[&number].url.clone())]))), token.trim())
    }

    /// Starts an instance of CRM on this port behind a gateway. Clients don't use it directly.
    pub async fn start_instance(&mut self, number: usize, port: u16) {
        let command = self.inopsio(&["serve", "--service", CRM.name(), "--port", &port.to_string()]);
        self.launch(number, command).await;
    }

    /// Starts a gateway to the instances of CRM on these ports.
    pub async fn start_gateway(&mut self, number: usize, ports: &[u16]) {
        let urls: Vec<_> = ports.iter().map(|port| format!("http://127.0.0.1:{port}")).collect();
        let mut command = self.inopsio(&["serve"]);
        command.env("INOPSIO_REMOTE_CRM", urls.join(","));
        self.launch(number, command).await;
        self.open(number);
    }

    async fn launch(&mut self, number: usize, command: Command) {
        assert!(!self.servers.contains_key(&number), "inopsio {number} runs already");
        self.starts += 1;
        let log = self.folder.join(format!("serve-{number}-{}.log", self.starts));
        self.servers.insert(number, Serve::start(command, &log).await);
    }

    fn open(&self, number: usize) {
        self.server_urls.lock().unwrap().insert(number, self.servers[&number].url.clone());
    }

    /// Sends a signal (`STOP`, `CONT`) to the `inopsio serve` with this number.
    pub fn signal(&self, number: usize, signal: &str) {
        self.servers[&number].signal(signal);
    }

    /// Kills the `inopsio serve` with this number (SIGKILL).
    pub fn kill(&mut self, number: usize) {
        self.leave(number).kill();
    }

    /// Sends SIGTERM to the `inopsio serve` with this number, and checks that it ends with success.
    pub async fn stop(&mut self, number: usize) {
        let status = self.leave(number).stop().await;
        assert!(status.success(), "inopsio {number}: {status}");
    }

    fn leave(&mut self, number: usize) -> Serve {
        self.server_urls.lock().unwrap().remove(&number);
        self.servers.remove(&number).unwrap()
    }

    /// The log of the `inopsio serve` with this number.
    pub fn log(&self, number: usize) -> String {
        self.servers[&number].log()
    }

    /// The superuser's connection options for CRM's database.
    pub fn superuser(&self) -> PgConnectOptions {
        self.postgres.admin().database("inopsio_crm").disable_statement_logging()
    }

    /// A superuser's connection to CRM's database.
    pub async fn sql(&self) -> PgConnection {
        self.superuser().connect().await.unwrap()
    }

    /// Number of events in CRM's log.
    pub async fn count(&self) -> i64 {
        // Postgres may still restart after a failure that a test has caused.
        eventually("the events are counted", async || {
            let mut connection = self.superuser().connect().await.ok()?;
            sqlx::query_scalar("SELECT count(*) FROM log.events").fetch_one(&mut connection).await.ok()
        })
        .await
    }

    /// Waits until this number of further events is in the log.
    pub async fn grows(&self, by: i64) {
        let before = self.count().await;
        eventually(&format!("{by} more events"), async || (self.count().await >= before + by).then_some(())).await;
    }

    /// Terminates all connections of CRM to its database, also within transactions. Returns their number.
    pub async fn cut_connections(&self) -> i64 {
        let cut =
            "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity WHERE usename LIKE 'inopsio_crm_%'";
        sqlx::query_scalar(cut).fetch_one(&mut self.sql().await).await.unwrap()
    }

    /// Waits until Postgres accepts connections after a failure. Restarts it if it has ended.
    pub async fn postgres_comes_back(&mut self) {
        let admin = self.postgres.admin();
        let answers = eventually("Postgres answers or has ended", async || match admin.connect().await {
            Ok(connection) => connection.close().await.ok().map(|()| true),
            // Still starting.
            Err(sqlx::Error::Database(_)) => None,
            Err(_) => Some(false),
        });
        if !answers.await {
            println!("Postgres has ended and is started again");
            tokio::task::block_in_place(|| self.postgres.restart());
        }
    }

    /// A connection to NATS.
    pub async fn bus(&self) -> nats::Bus {
        let settings = nats::Settings::new(urls(&self.nats, &self.peers), nats::Credentials::None, "the test");
        nats::Bus::connect(&settings).await.unwrap()
    }

    /// Waits until every read model has applied the current log. Returns the response of `/ready`.
    pub async fn caught_up(&self, client: &Client) -> Value {
        let head = self.count().await;
        let began = Instant::now();
        let ready = eventually("the read models have caught up", async || {
            let (_, ready) = client.ready().await?;
            let projections = ready["projections"].as_array()?;
            let current = |projection: &Value| projection["position"].as_i64().is_some_and(|position| position >= head);
            let ours: Vec<_> = projections.iter().filter(|projection| projection["service"] == CRM.name()).collect();
            (!ours.is_empty() && ours.into_iter().all(current)).then_some(ready)
        });
        let ready = ready.await;
        println!("the read models caught up with {head} events after {:?}", began.elapsed());
        ready
    }

    /// Waits until the sagas have read the whole log and none of them is due, so that they append nothing more.
    pub async fn sagas_rest(&self) {
        eventually("all sagas are at rest", async || {
            let at_rest = "SELECT (SELECT position FROM saga.checkpoint) >= (SELECT position FROM log.head)
                           AND NOT EXISTS (SELECT FROM saga.instances WHERE wake_at <= now())";
            let at_rest: bool = sqlx::query_scalar(at_rest).fetch_one(&mut self.sql().await).await.unwrap();
            at_rest.then_some(())
        })
        .await;
    }

    /// Checks the invariants that must hold after any failure: the log is dense and unaltered, the stream equals the log, and each table of
    /// the read models equals a rebuild. An `inopsio serve` must be running. Returns the events of the log.
    pub async fn verify(&self, client: &Client) -> Vec<RecordedEvent> {
        let events = self.verify_log_and_stream().await;
        self.caught_up(client).await;
        let before = read_models::content(&mut self.sql().await).await;
        self.ok(&["projection", "rebuild", "--all"]);
        let after = read_models::content(&mut self.sql().await).await;
        read_models::assert_equal(&before, &after);
        let rows: usize = after.values().map(Vec::len).sum();
        println!("{} events; {rows} rows in {} tables equal their rebuild", events.len(), after.len());
        events
    }

    /// The part of [`Self::verify`] that does not need read models.
    pub async fn verify_log_and_stream(&self) -> Vec<RecordedEvent> {
        let events = log::verified(&mut self.sql().await).await;
        stream::assert_is(&self.bus().await, &events).await;
        events
    }
}

/// The URLs of a cluster's servers as a setting.
fn urls(nats: &Nats, peers: &[Nats]) -> String {
    let urls: Vec<_> = std::iter::once(nats).chain(peers).map(Nats::url).collect();
    urls.join(",")
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for (number, serve) in &self.servers {
                let log = serve.log();
                let lines: Vec<_> = log.lines().collect();
                let tail = lines[lines.len().saturating_sub(40)..].join("\n");
                eprintln!("inopsio {number} logged last:\n{tail}");
            }
        }
        self.servers.clear();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
