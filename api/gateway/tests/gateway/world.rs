//! Starts a gateway with its own databases and its own nats-server, and sends requests to it.

use std::time::Duration;

use config::{Partitions, SecretText};
use directory::Directory;
use eventstore::admin::Mode;
use gateway::auth::{KeyPair, mint};
use gateway::{Config, Server, Services};
use kernel::{Role, Service, SystemClock, SystemIds, TenantId};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::Value;
use sqlx::ConnectOptions;
use sqlx::postgres::PgPoolOptions;
use testbed::{Database, Nats, eventually};

/// Within this time every process knows of a revocation or another change of permissions: a second, plus a margin for a machine that runs
/// other tests, too. (Without a notification, a cached check would stay valid for ten minutes.)
pub const PROPAGATION: Duration = Duration::from_secs(4);

/// The environment of a test.
pub struct World {
    pub server: Option<Server>,
    /// The server that runs one service, if `server` forwards that service to it.
    pub behind: Option<Server>,
    pub config: Config,
    /// The database of CRM.
    pub database: Database,
    /// The database of the auth service.
    pub auth: Database,
    others: Vec<Database>,
    /// The database of the directory.
    pub directory: Database,
    pub nats: Nats,
    pub client: Client,
    pub tenant: TenantId,
    pub url: String,
    token: String,
}

impl World {
    /// A gateway with the default configuration, on a free port.
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// A gateway without rate limits, for tests that send many requests.
    pub async fn unlimited() -> Self {
        Self::start_with(|config| {
            config.rate_limits.tenant_per_second = 0;
            config.rate_limits.token_per_second = 0;
        })
        .await
    }

    /// A gateway whose configuration was changed by `change`. If `INOPSIO_TEST_APART` is set, CRM (or the service that it names) runs in a
    /// second server, to which the gateway forwards. Tests pass either way, except those about requests that concern all services, or about
    /// this process.
    pub async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let apart = std::env::var("INOPSIO_TEST_APART").ok();
        let named = |name: &str| gateway::SERVICES.iter().find(|service| service.name() == name).copied();
        Self::made(apart.map(|name| named(&name).unwrap_or(crm_api::SERVICE)), change).await
    }

    /// A gateway that forwards to CRM in a second server.
    pub async fn apart() -> Self {
        Self::apart_from(crm_api::SERVICE).await
    }

    /// A gateway that forwards to a service in a second server. Both have the same public URL, as they must.
    pub async fn apart_from(service: Service) -> Self {
        Self::apart_with(service, |_| {}).await
    }

    /// The same, with a changed configuration.
    pub async fn apart_with(service: Service, change: impl FnOnce(&mut Config)) -> Self {
        Self::made(Some(service), |config| {
            "https://inopsio.example".clone_into(&mut config.http.public_url);
            change(config);
        })
        .await
    }

    async fn made(apart: Option<Service>, change: impl FnOnce(&mut Config)) -> Self {
        let nats = Nats::start().await;
        let mut databases: Vec<_> = gateway::SERVICES.iter().map(|service| Database::named(service.name())).collect();
        let directory = Database::named("directory");
        let keys = KeyPair::generate();
        let mut config = Config::default();
        config.http.port = 0;
        config.postgres.host.clone_from(&directory.host);
        config.postgres.port = directory.port;
        config.postgres.socket.clone_from(&directory.socket);
        config.postgres.password = SecretText::new(directory.password.reveal());
        config.postgres.admin_url = SecretText::new(directory.admin().to_url_lossy().to_string());
        config.postgres.directory.clone_from(&directory.name);
        config.postgres.claim_key = SecretText::new("5e".repeat(32));
        for database in &databases {
            config.databases.insert(database.service.to_string(), database.name.clone());
        }
        config.auth.master_key = SecretText::new("4a".repeat(32));
        config.nats.url = nats.url();
        // The first query of a test may come while the projections are still starting.
        config.graphql.wait_seconds = 15;
        config.auth.public_key = SecretText::new(keys.public_key);
        config.auth.signing_key = SecretText::new(keys.signing_key);
        change(&mut config);
        Box::pin(prepare(&config, databases.iter().chain([&directory]))).await;
        let tenant = Directory::open(&config).create("acme", "Acme", &SystemClock, &SystemIds).await.unwrap().tenant_id;
        config.operators.tenant = Some(tenant.uuid());
        let mut of =
            |name: &str| databases.swap_remove(databases.iter().position(|one| one.service.name() == name).unwrap());
        let (database, auth) = (of("crm"), of("auth"));
        let mut behind = None;
        if let Some(apart) = apart {
            let service = Server::start(config.clone(), Services::One(apart)).await.unwrap();
            config.remotes.insert(apart.name().to_owned(), format!("http://{}", service.addr()));
            behind = Some(service);
        }
        let server = Server::start(config.clone(), Services::All).await.unwrap();
        let url = format!("http://{}", server.addr());
        let token = token(&config, tenant, &[Role::Admin]);
        let client = Client::builder().timeout(Duration::from_mins(1)).build().unwrap();
        Self {
            server: Some(server),
            behind,
            config,
            database,
            auth,
            others: databases,
            directory,
            nats,
            client,
            tenant,
            url,
            token,
        }
    }

    /// Restarts the gateway, and the server behind it, with a changed configuration. Only their addresses change otherwise.
    pub async fn restart(&mut self, change: impl FnOnce(&mut Config)) {
        for server in [self.server.take(), self.behind.take()].into_iter().flatten() {
            server.shutdown().await;
        }
        change(&mut self.config);
        let apart = gateway::SERVICES.iter().find(|service| self.config.remotes.contains_key(service.name())).copied();
        if let Some(apart) = apart {
            self.config.remotes.clear();
            let service = Server::start(self.config.clone(), Services::One(apart)).await.unwrap();
            self.config.remotes.insert(apart.name().to_owned(), format!("http://{}", service.addr()));
            self.behind = Some(service);
        }
        let server = Server::start(self.config.clone(), Services::All).await.unwrap();
        self.url = format!("http://{}", server.addr());
        self.server = Some(server);
    }

    /// A token for this world's tenant.
    pub fn token(&self, roles: &[Role]) -> String {
        token(&self.config, self.tenant, roles)
    }

    /// A token for this world's tenant with this subject.
    pub fn token_of(&self, subject: &str, roles: &[Role]) -> String {
        mint(&self.config.auth, self.tenant, subject, roles, Duration::from_hours(1)).unwrap()
    }

    /// A token for a user of this world's tenant, with that user's own roles.
    pub fn token_of_user(&self, user: &str) -> String {
        self.token_of(user, &[])
    }

    /// A token for this world's tenant with roles that the tenant defines.
    pub fn token_with(&self, roles: &[&str]) -> String {
        mint(&self.config.auth, self.tenant, "ada", roles, Duration::from_hours(1)).unwrap()
    }

    /// A token of an administrator of another tenant.
    pub fn stranger(&self) -> String {
        token(&self.config, testbed::tenant(), &[Role::Admin])
    }

    /// A request without a token.
    pub fn anonymous(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url))
    }

    /// A request of this tenant's administrator.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.anonymous(method, path).bearer_auth(&self.token)
    }

    /// POSTs JSON as this tenant's administrator.
    pub async fn post(&self, path: &str, body: Value) -> Answer {
        Answer::of(self.request(Method::POST, path).json(&body)).await
    }

    /// GETs as this tenant's administrator.
    pub async fn get(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::GET, path)).await
    }

    /// Captures a lead, and returns its id.
    pub async fn lead(&self, name: &str) -> String {
        let answer = self.post("/v1/crm/leads", serde_json::json!({ "name": name })).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        answer.body["id"].as_str().unwrap().to_owned()
    }

    /// The number of events in the logs of all services.
    pub async fn head(&self) -> i64 {
        let mut head = 0;
        for database in self.others.iter().chain([&self.database, &self.auth]) {
            head += self.head_of(database).await;
        }
        head
    }

    /// The database of a service.
    pub fn of(&self, service: &str) -> &Database {
        let mut databases = self.others.iter().chain([&self.database, &self.auth]);
        databases.find(|database| database.service.name() == service).unwrap()
    }

    /// The last position of a service's log.
    pub async fn head_of_all(&self, database: &Database) -> u64 {
        use sqlx::Connection;
        let mut connection = sqlx::PgConnection::connect_with(&database.superuser()).await.unwrap();
        let head: i64 = sqlx::query_scalar("SELECT position FROM log.head").fetch_one(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        head.cast_unsigned()
    }

    /// Whether a server of this world runs a service and its sagas.
    fn runs(&self, service: &str) -> bool {
        let server = if self.config.remotes.contains_key(service) { &self.behind } else { &self.server };
        server.is_some()
    }

    /// The number of events in a service's log, once its sagas are idle or nobody runs them, because until then they append events at their
    /// own time. Records of denials and of the use of API keys are not counted, because they are appended asynchronously.
    pub async fn head_of(&self, database: &Database) -> i64 {
        let one = PgPoolOptions::new().max_connections(1);
        let pool = one.connect_with(database.superuser()).await.unwrap();
        let sagas = "SELECT to_regclass('saga.checkpoint') IS NOT NULL";
        let head = if sqlx::query_scalar(sagas).fetch_one(&pool).await.unwrap() {
            eventually("the sagas are at rest", async || {
                sqlx::query_scalar(
                    "SELECT position - (SELECT count(*) FROM log.events
                         WHERE event_type LIKE 'auth.access.%' OR event_type = 'auth.api_key.used')
                     FROM log.head
                     WHERE position <= (SELECT position FROM saga.checkpoint)
                       AND NOT EXISTS (SELECT FROM saga.instances WHERE wake_at <= now())
                        OR NOT $2 AND NOT EXISTS (SELECT FROM pg_locks
                            WHERE locktype = 'advisory' AND (classid::bigint << 32) + objid::bigint = $1 AND granted
                              AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))",
                )
                .bind(eventstore::LockKey::Coordinator.number())
                // If a server has just started, or another coordinator has ended, a coordinator is about to take the lock.
                .bind(self.runs(database.service.name()))
                .fetch_optional(&pool)
                .await
                .unwrap()
            })
            .await
        } else {
            sqlx::query_scalar("SELECT position FROM log.head").fetch_one(&pool).await.unwrap()
        };
        pool.close().await;
        head
    }

    /// Sends requests that must be refused with these codes, and checks that the log did not grow.
    pub async fn refuses(&self, cases: Vec<(RequestBuilder, StatusCode, &str)>) {
        let before = self.head().await;
        for (request, status, code) in cases {
            let shown = format!("{request:?}").chars().take(300).collect::<String>();
            let answer = Answer::of(request).await;
            assert_eq!((answer.status, answer.code()), (status, code), "{shown} got {answer:?}");
            answer.assert_problem();
        }
        assert_eq!(self.head().await, before, "something was written");
    }
}

/// Migrates the databases for this configuration. Most tests have the same ones, which are copied from templates.
async fn prepare(config: &Config, databases: impl Iterator<Item = &Database>) {
    let databases: Vec<_> = databases.collect();
    let names = databases.iter().map(|database| match database.service.name() {
        "directory" => config.postgres.directory.clone(),
        _ => config.database(database.service).name,
    });
    let as_named = names.eq(databases.iter().map(|database| database.name.clone()));
    if !as_named || !config.directory.url.is_empty() || config.projections.partitions != Partitions::default() {
        gateway::migrate(config, Mode::Apply).await.unwrap();
        return;
    }
    testbed::copy_prepared("all", &databases, async |templates: Vec<eventstore::Database>| {
        let mut config = config.clone();
        for template in templates {
            match template.service.name() {
                "directory" => config.postgres.directory = template.name,
                service => _ = config.databases.insert(service.to_owned(), template.name),
            }
        }
        Box::pin(gateway::migrate(&config, Mode::Apply)).await.unwrap();
    })
    .await;
}

/// Form bodies, for the protocols of the issuers.
pub trait Form {
    /// The request with these parameters as its body.
    fn form(self, parameters: &[(&str, &str)]) -> Self;
}

impl Form for RequestBuilder {
    fn form(self, parameters: &[(&str, &str)]) -> Self {
        testbed::form(self, parameters)
    }
}

pub fn token(config: &Config, tenant: TenantId, roles: &[Role]) -> String {
    mint(&config.auth, tenant, "ada", roles, Duration::from_hours(1)).unwrap()
}

/// A response whose body was read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: reqwest::header::HeaderMap,
    pub body: Value,
}

impl Answer {
    pub async fn of(request: RequestBuilder) -> Self {
        let response: Response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = response.bytes().await.unwrap();
        let body = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
        Self { status, headers, body }
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    /// Asserts that it is a problem document according to RFC 9457.
    pub fn assert_problem(&self) {
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        assert_eq!(self.body["status"], self.status.as_u16(), "{self:?}");
        assert_eq!(self.body["type"], format!("urn:inopsio:problem:{}", self.code()), "{self:?}");
        assert_eq!(self.body["instance"], format!("urn:uuid:{}", self.header("x-request-id")), "{self:?}");
        if self.status == StatusCode::UNAUTHORIZED {
            // The challenge for a request without a token has no error (RFC 6750 section 3.1).
            let told = self.header("www-authenticate").contains("error=\"invalid_token\"");
            assert_eq!(told, self.code() != "token_missing", "{self:?}");
        }
        for member in ["title", "detail"] {
            assert!(self.body[member].as_str().is_some_and(|text| !text.is_empty()), "{self:?}");
        }
    }
}
