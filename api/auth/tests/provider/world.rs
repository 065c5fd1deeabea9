//! The test fixture: a listening provider with its log, a double of the user service, a client and a browser.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use auth_aggregates::{Account, ClientId, OurAlgorithm, Session, SessionId};
use auth_api::authority::{Authority, KnownTenant, Parts, Settings, Tenants};
use auth_api::password::Passwords;
use auth_api::provider::{Attempts, ClientAddressHeader, Provider, Proxies, endpoints, password_link};
use auth_api::trust::Trust;
use auth_commands::{ClientFields, GRANTS, Reach, RegisterClient, RequestPasswordReset, SetClientSecret, protocol};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use eventstore::{EventStore, Sealing};
use executor::Executor;
use face::{People, Person};
use kernel::{
    Caller, Clock, IdSource, ManualClock, PostalAddress, Refusal, Role, SystemClock, SystemIds, TenantId, UserId,
};
use keys::{LocalMasterKey, MasterKey, SystemRandom};
use poem::listener::TcpAcceptor;
use poem::{Route, RouteMethod, Server};
use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::Value;
use sha2::{Digest, Sha256};
use testbed::{Browser, Database, Shown, form};

use crate::people::PeopleDouble;

pub const BACK: &str = "https://app.example.com/back?x=1";
pub const OUT: &str = "https://app.example.com/out";
pub const PASSWORD: &str = "tin-roof-ocelot-parable";
pub const VERIFIER: &str = "dBjftJeZ4CVP-mBVQwJDwJrJ8T2xSx9Q0Gm1o3JcBzU";

/// The directory of two tenants, `acme` and `other`.
struct TwoTenants([KnownTenant; 2]);

#[async_trait]
impl Tenants for TwoTenants {
    async fn by_slug(&self, slug: &str) -> Result<Option<KnownTenant>, Refusal> {
        Ok(self.0.iter().find(|tenant| tenant.slug == slug).cloned())
    }

    async fn by_id(&self, tenant: TenantId) -> Result<Option<KnownTenant>, Refusal> {
        Ok(self.0.iter().find(|known| known.id == tenant).cloned())
    }
}

fn master_key() -> Arc<dyn MasterKey> {
    Arc::new(LocalMasterKey::parse(&"4a".repeat(32), SystemRandom).unwrap())
}

/// The settings with which the log of the auth service is opened.
pub fn log_settings() -> eventstore::Settings {
    let sealing = Some(Sealing { master: master_key(), random: Arc::new(SystemRandom) });
    eventstore::Settings { sealing, ..eventstore::Settings::default() }
}

pub struct World {
    pub provider: Provider,
    pub people: Arc<PeopleDouble>,
    pub clock: Arc<ManualClock>,
    pub tenant: KnownTenant,
    pub url: String,
    pub database: Database,
    /// Follows no redirects and keeps no cookies: tests see each step.
    pub http: Client,
}

impl World {
    pub async fn start() -> Self {
        Self::at("127.0.0.1", ClientAddressHeader::default()).await
    }

    /// A provider whose address has a host name, which passkeys require.
    pub async fn named() -> Self {
        Self::at("localhost", ClientAddressHeader::default()).await
    }

    /// A provider that trusts these networks as proxies.
    pub async fn behind(proxies: &[&str]) -> Self {
        let proxies: Vec<_> = proxies.iter().map(|network| network.parse().unwrap()).collect();
        Self::at("127.0.0.1", ClientAddressHeader::new(None, Proxies::from(proxies))).await
    }

    async fn at(host: &str, client_address: ClientAddressHeader) -> Self {
        let database = Database::fresh("auth").await;
        let clock = Arc::new(ManualClock::at(SystemClock.now()));
        let store = EventStore::open(&database, log_settings(), clock.clone()).await.unwrap();
        let settings = executor::Settings { cache_bytes: 1 << 20, snapshot_events: 0, claim_key: [7; 32] };
        let executor = Executor::new(store, clock.clone(), Arc::new(SystemIds), settings);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{host}:{}", listener.local_addr().unwrap().port());
        let tenant = |slug: &str, name: &str| KnownTenant {
            id: testbed::tenant(),
            slug: slug.to_owned(),
            name: name.to_owned(),
        };
        let (tenant, other) = (tenant("acme", "Acme"), tenant("other", "Other"));
        let people = Arc::new(PeopleDouble::default());
        let authority = Authority::new(Parts {
            executor,
            tenants: Arc::new(TwoTenants([tenant.clone(), other.clone()])),
            active_tenants: face::all_tenants_active(),
            people: Some(people.clone()),
            permissions: people.clone(),
            links: None,
            pictures: Some(people.clone()),
            admission: Some(people.clone()),
            master: Some(master_key()),
            random: Arc::new(SystemRandom),
            clock: clock.clone(),
            settings: Settings {
                public_url: url.clone(),
                audience: "inopsio".to_owned(),
                leeway: TimeDelta::seconds(5),
                access: TimeDelta::minutes(15),
                overlap: TimeDelta::hours(1),
                rotation: Some(TimeDelta::days(90)),
            },
        });
        let trust = Trust::new(authority.clone());
        let provider = Provider {
            authority,
            trust,
            // A clock that stands still, so that the limits do not depend on the machine's speed.
            attempts: Arc::new(Attempts::with_clock(|| Duration::ZERO)),
            polls: Arc::default(),
            passwords: Arc::new(Passwords::default()),
            saml: Arc::new(saml::WebSso),
            read_models: None,
            client_address,
        };
        let mut paths: HashMap<&str, RouteMethod> = HashMap::new();
        for (path, method, endpoint) in endpoints(&provider) {
            let methods = paths.remove(path).unwrap_or_default().method(method, endpoint);
            paths.insert(path, methods);
        }
        let route = paths.into_iter().fold(Route::new(), |route, (path, methods)| route.at(path, methods));
        tokio::spawn(Server::new_with_acceptor(TcpAcceptor::from_tokio(listener).unwrap()).run(route));
        let http = Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self { provider, people, clock, tenant, url, database, http }
    }

    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    pub fn issuer(&self) -> String {
        format!("{}/t/acme", self.url)
    }

    pub fn admin(&self) -> Caller {
        Caller::new(self.tenant.id, "admin", &[Role::Admin], GRANTS)
    }

    /// Creates a user who may sign in with the password.
    pub async fn person(&self, login: &str) -> UserId {
        let id = UserId::new(SystemIds.next());
        let person = Person {
            id,
            login: login.to_owned(),
            user_name: None,
            name: "Ada Lovelace".to_owned(),
            given_name: Some("Ada".to_owned()),
            family_name: Some("Lovelace".to_owned()),
            picture: Some("https://example.com/ada.png".to_owned()),
            uploaded_picture: None,
            updated_at: Some(DateTime::UNIX_EPOCH + TimeDelta::days(1)),
            email: Some(login.to_owned()),
            email_verified: true,
            phone: Some("+4930123456".to_owned()),
            phone_verified: true,
            address: Some(PostalAddress {
                street: Some("12 St James's Square\nFlat 3".to_owned()),
                locality: Some("London".to_owned()),
                region: None,
                postal_code: Some("SW1Y 4JH".to_owned()),
                country: Some("GB".to_owned()),
            }),
            formatted_address: None,
            locale: Some("en".to_owned()),
            zoneinfo: Some("Europe/London".to_owned()),
            roles: vec!["member".to_owned()],
            may_sign_in: true,
        };
        self.people.put(self.tenant.id, person);
        self.sets_password(id, PASSWORD).await;
        id
    }

    /// The id of the user with this login name.
    pub async fn person_id(&self, login: &str) -> UserId {
        self.people.by_login(self.tenant.id, login).await.unwrap().unwrap().id
    }

    /// Requests a password reset, and returns the token of the mailed link.
    pub async fn password_token(&self, user: UserId) -> String {
        let request = RequestPasswordReset { user };
        self.provider.authority.run(&protocol(self.tenant.id, "auth"), &request).await.unwrap();
        let account = self.account(user).await;
        let email = self.people.by_id(self.tenant.id, user).await.unwrap().unwrap().email.unwrap();
        let link = password_link(&self.provider.authority, &self.tenant, user, &email, account.resets).await.unwrap();
        link.split_once("token=").unwrap().1.to_owned()
    }

    /// The account of a user who has one.
    pub async fn account(&self, user: UserId) -> Arc<Account> {
        let found = self.provider.authority.executor().load::<Account>(&self.admin(), &user.to_string()).await;
        found.unwrap().unwrap().0
    }

    /// Runs a command as the protocol endpoints do.
    pub async fn run_as_protocol<C: executor::Command>(&self, command: &C) -> Result<C::Answer, Refusal> {
        self.provider.authority.run(&protocol(self.tenant.id, "auth"), command).await.map(|done| done.answer)
    }

    /// Follows a mailed link and sets this password, which ends all of the user's sessions.
    pub async fn sets_password(&self, user: UserId, password: &str) {
        let token = self.password_token(user).await;
        self.clock.advance(TimeDelta::seconds(1));
        let set = self.post("password", &[("token", &token), ("password", password)]).send().await.unwrap();
        assert_eq!(set.status(), StatusCode::OK, "{}", set.text().await.unwrap());
        self.clock.advance(TimeDelta::seconds(1));
    }

    /// Registers a client with a secret.
    pub async fn client(&self, trusted: bool) -> App {
        let fields = ClientFields {
            name: "The App".to_owned(),
            confidential: true,
            redirect_uris: vec![BACK.to_owned()],
            post_logout_redirect_uris: vec![OUT.to_owned()],
            trusted,
            keys: Vec::new(),
            backchannel_logout_uri: None,
            unreachable: None,
            exchanges: false,
            id_token_signed_response_alg: OurAlgorithm::EdDSA,
        };
        let authority = &self.provider.authority;
        let id: ClientId =
            authority.run(&self.admin(), &RegisterClient { fields, reach: Reach::Everything }).await.unwrap().answer;
        let secret = "a secret of the application".to_owned();
        let secret_hash = hex::encode(Sha256::digest(&secret));
        authority
            .run(&self.admin(), &SetClientSecret { client: id, secret_hash, reach: Reach::Everything })
            .await
            .unwrap();
        App { id, secret }
    }

    /// Registers a client without a secret, which is the tenant's own.
    pub async fn native(&self, redirect_uris: &[&str]) -> App {
        let fields = ClientFields {
            name: "The Native App".to_owned(),
            redirect_uris: redirect_uris.iter().map(|uri| (*uri).to_owned()).collect(),
            trusted: true,
            ..ClientFields::default()
        };
        let id = self.run_as_admin(&RegisterClient { fields, reach: Reach::Everything }).await;
        App { id, secret: String::new() }
    }

    /// The user with this login name.
    pub async fn person_of(&self, login: &str) -> Person {
        self.people.by_login(self.tenant.id, login).await.unwrap().unwrap()
    }

    /// Whether a user with this login name exists.
    pub async fn people_named(&self, login: &str) -> bool {
        self.people.by_login(self.tenant.id, login).await.unwrap().is_some()
    }

    /// Runs a command as the tenant's administrator; it may fail.
    pub async fn try_as_admin<C: executor::Command>(&self, command: &C) -> Result<C::Answer, Refusal> {
        self.provider.authority.run(&self.admin(), command).await.map(|done| done.answer)
    }

    /// Runs a command as the tenant's administrator; it must succeed.
    pub async fn run_as_admin<C: executor::Command>(&self, command: &C) -> C::Answer {
        self.provider.authority.run(&self.admin(), command).await.unwrap().answer
    }

    pub fn get(&self, path: &str) -> RequestBuilder {
        self.http.get(format!("{}/{path}", self.issuer()))
    }

    pub fn post(&self, path: &str, fields: &[(&str, &str)]) -> RequestBuilder {
        form(self.http.post(format!("{}/{path}", self.issuer())), fields)
    }

    /// The number of events in the log.
    pub async fn head(&self) -> i64 {
        use sqlx::Connection;
        let mut connection = sqlx::PgConnection::connect_with(&self.database.superuser()).await.unwrap();
        let head = sqlx::query_scalar("SELECT count(*) FROM log.events").fetch_one(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        head
    }

    /// All events in the log: their types and payloads.
    pub async fn events(&self) -> Vec<(String, Value)> {
        use sqlx::Connection;
        let mut connection = sqlx::PgConnection::connect_with(&self.database.superuser()).await.unwrap();
        let all = "SELECT event_type, payload FROM log.events ORDER BY position";
        let events = sqlx::query_as(all).fetch_all(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        events
    }

    /// The id of the session that began last.
    pub async fn last_session_id(&self) -> SessionId {
        use sqlx::Connection;
        let mut connection = sqlx::PgConnection::connect_with(&self.database.superuser()).await.unwrap();
        let last = "SELECT aggregate_id FROM log.events WHERE event_type = 'auth.session.started' ORDER BY position DESC LIMIT 1";
        let id: String = sqlx::query_scalar(last).fetch_one(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        id.parse().unwrap()
    }

    /// The session that began last.
    pub async fn last_session(&self) -> Session {
        let id = self.last_session_id().await.to_string();
        let found = self.provider.authority.executor().load::<Session>(&self.admin(), &id).await.unwrap();
        (*found.unwrap().0).clone()
    }

    /// The last event in the log: its type and payload.
    pub async fn last_event(&self) -> (String, Value) {
        use sqlx::Connection;
        let mut connection = sqlx::PgConnection::connect_with(&self.database.superuser()).await.unwrap();
        let last = "SELECT event_type, payload FROM log.events ORDER BY position DESC LIMIT 1";
        let event = sqlx::query_as(last).fetch_one(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        event
    }
}

/// A client that signs users in.
pub struct App {
    pub id: ClientId,
    pub secret: String,
}

impl App {
    /// The path of its authorization request, with additional or other parameters.
    pub fn asks(&self, more: &[(&str, &str)]) -> String {
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER));
        let id = self.id.to_string();
        let mut parameters = vec![
            ("response_type", "code"),
            ("client_id", id.as_str()),
            ("redirect_uri", BACK),
            ("scope", "openid profile email api offline_access"),
            ("state", "s&t=1"),
            ("nonce", "n-1"),
            ("code_challenge", challenge.as_str()),
            ("code_challenge_method", "S256"),
        ];
        for (name, value) in more {
            parameters.retain(|(known, _)| known != name);
            parameters.push((name, value));
        }
        query("authorize", &parameters)
    }

    /// Redeems an authorization code.
    pub fn redeems(&self, world: &World, code: &str, more: &[(&str, &str)]) -> RequestBuilder {
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", BACK),
            ("code_verifier", VERIFIER),
        ];
        for (name, value) in more {
            form.retain(|(known, _)| known != name);
            form.push((name, value));
        }
        world.post("token", &form).basic_auth(self.id, Some(&self.secret))
    }

    /// The tokens that it gets when Ada signs in with this browser.
    pub async fn tokens(&self, world: &World, browser: &mut Browser) -> Value {
        let code = browser.signs_in(world, &self.asks(&[]), "ada@example.com", PASSWORD).await.code();
        json(self.redeems(world, &code, &[]), StatusCode::OK).await
    }

    pub fn refreshes(&self, world: &World, token: &str) -> RequestBuilder {
        let form = [("grant_type", "refresh_token"), ("refresh_token", token)];
        world.post("token", &form).basic_auth(self.id, Some(&self.secret))
    }
}

/// What a user does with a browser at the provider of `acme`.
pub trait Visits {
    async fn visit(&mut self, world: &World, path: &str) -> Shown;

    async fn fill_in(&mut self, world: &World, path: &str, fields: &[(&str, &str)]) -> Shown;

    /// Opens the page and signs in on it.
    async fn signs_in(&mut self, world: &World, path: &str, login: &str, password: &str) -> Shown;
}

impl Visits for Browser {
    async fn visit(&mut self, world: &World, path: &str) -> Shown {
        self.open(&format!("{}/{path}", world.issuer())).await
    }

    async fn fill_in(&mut self, world: &World, path: &str, fields: &[(&str, &str)]) -> Shown {
        self.submit(&format!("{}/{path}", world.issuer()), fields).await
    }

    async fn signs_in(&mut self, world: &World, path: &str, login: &str, password: &str) -> Shown {
        let page = self.visit(world, path).await;
        assert_eq!(page.status, StatusCode::OK, "{page:?}");
        let pending = page.hidden("pending");
        self.fill_in(world, "login", &[("pending", &pending), ("login", login), ("password", password)]).await
    }
}

/// A path with a query string.
pub fn query(path: &str, parameters: &[(&str, &str)]) -> String {
    format!("{path}?{}", url::form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish())
}

/// The CPU time of this process so far, which does not grow while other processes run.
pub fn worked() -> Duration {
    let worked = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    worked.try_into().unwrap()
}

/// The JSON body of a response, which must have this status.
pub async fn json(request: RequestBuilder, status: StatusCode) -> Value {
    let response = request.send().await.unwrap();
    let (got, body) = (response.status(), response.text().await.unwrap());
    assert_eq!(got, status, "{body}");
    serde_json::from_str(&body).unwrap_or(Value::Null)
}

/// The claims of a token, without verifying it.
pub fn claims(token: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap()).unwrap()
}
