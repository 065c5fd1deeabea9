//! Personal data of users: the places where it must never be, and that it is nowhere after an erasure.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use auth_aggregates::{Jwk, Moment};
use auth_commands::{EnrolPasskey, Within};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use eventstore::EventStore;
use futures::StreamExt;
use kernel::{Position, Service, SystemClock, SystemIds};
use nats::{Bus, Credentials, Settings};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use testbed::{Browser, Database, form};
use tracing_subscriber::fmt::MakeWriter;
use user_commands::Purpose;

use crate::branding::png;
use crate::issuers::issuer;
use crate::sign_in::{self, App, PASSWORD, mailed_link};
use crate::users::{ask, link};
use crate::world::{Answer, World};

/// Words that occur nowhere else.
const CANARIES: [&str; 7] =
    ["Kanaria", "Zaunkönig", "kanaria.example", "zaunkoenig7", "4930998877", IN_BASE64, IN_HEXADECIMAL];

/// The marker in the picture's file, and its form in a text and in a column of bytes.
const IN_THE_FILE: &[u8] = b"Kanarienvogel";
const IN_BASE64: &str = "S2FuYXJpZW52b2dl";
const IN_HEXADECIMAL: &str = "4b616e617269656e766f67656c";

/// The browser's `User-Agent`.
const AGENT: &str = "Kanaria-Phone/7";

/// Everything that is logged.
#[derive(Clone, Default)]
pub struct Logged(Arc<Mutex<Vec<u8>>>);

impl io::Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Logged {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Logged {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

/// The lines that contain forbidden text.
pub fn leaks(text: &str) -> Vec<&str> {
    text.lines().filter(|line| CANARIES.iter().any(|canary| line.contains(canary))).collect()
}

/// The rows of all tables in these schemas (a `LIKE` pattern), as text.
pub async fn rows(database: &Database, schemas: &str) -> String {
    let mut connection = PgConnection::connect_with(&database.superuser()).await.unwrap();
    let tables = "SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) FROM pg_tables
                  WHERE schemaname NOT IN ('pg_catalog', 'information_schema') AND schemaname LIKE $1";
    let tables: Vec<String> = sqlx::query_scalar(tables).bind(schemas).fetch_all(&mut connection).await.unwrap();
    assert!(!tables.is_empty(), "there is no schema {schemas}");
    let mut all = String::new();
    for table in tables {
        let rows = format!("SELECT '{table} ' || t::text FROM {table} t");
        let rows: Vec<String> = sqlx::query_scalar(&rows).fetch_all(&mut connection).await.unwrap();
        all.extend(rows.into_iter().flat_map(|row| [row, "\n".to_owned()]));
    }
    connection.close().await.unwrap();
    all
}

/// The payloads in a service's stream up to a position.
pub async fn streamed(world: &World, service: &'static str, to: u64) -> String {
    let bus = Bus::connect(&Settings::new(world.nats.url(), Credentials::None, "canary")).await.unwrap();
    let mut feed = std::pin::pin!(bus.feed(Service::new(service), Position::START));
    let mut all = Vec::new();
    loop {
        let batch = tokio::time::timeout(Duration::from_secs(20), feed.next()).await.expect("the stream is behind");
        for event in batch.unwrap().unwrap() {
            all.push(format!("{} {}\n", event.event_type, String::from_utf8_lossy(&event.payload)));
            if event.position.0 == to {
                return all.concat();
            }
        }
    }
}

pub async fn done(world: &World, path: &str, body: Value) -> Answer {
    let done = world.post(path, body).await;
    assert!(done.status.is_success(), "{path}: {done:?}");
    done
}

/// Sets a password, signs in with this browser after one failed attempt, and adds a passkey; also one failed attempt with an unknown login
/// of their name.
async fn signs_in(world: &World, user: &str, login: &str) {
    Browser::default().submit(&format!("{}/forgot", issuer(world)), &[("login", login)]).await;
    let page = Browser::default().open(&mailed_link(world, login, "Set a new password").await).await;
    let fields = [("token", page.hidden("token")), ("password", PASSWORD.to_owned())];
    let fields = fields.each_ref().map(|(name, value)| (*name, value.as_str()));
    let set = Browser::default().submit(&format!("{}/password", issuer(world)), &fields).await;
    assert!(set.body.contains("Your password is set"), "{set:?}");

    let app = App::register(world).await;
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).user_agent(AGENT);
    let client = client.build().unwrap();
    for (login, password, status) in [
        ("zaunkoenig7@nobody.example", PASSWORD, StatusCode::UNAUTHORIZED),
        (login, "another-good-violin-walk", StatusCode::UNAUTHORIZED),
        (login, PASSWORD, StatusCode::SEE_OTHER),
    ] {
        let mut browser = Browser::default();
        let pending = browser.send(client.get(app.asks(world))).await.hidden("pending");
        let fields = [("pending", pending.as_str()), ("login", login), ("password", password)];
        let shown = browser.send(form(client.post(format!("{}/login", issuer(world))), &fields)).await;
        assert_eq!(shown.status, status, "{login}: {shown:?}");
    }

    let (settings, clock) = (world.config.log_settings(), Arc::new(SystemClock));
    let store = EventStore::open(&world.auth, settings, clock.clone()).await.unwrap();
    let settings = executor::Settings { cache_bytes: 1 << 20, snapshot_events: 0, claim_key: [0x5e; 32] };
    let executor = executor::Executor::new(store.clone(), clock, Arc::new(SystemIds), settings);
    let x = Some("A".repeat(43));
    let key = Jwk { kty: "EC".to_owned(), crv: Some("P-256".to_owned()), y: x.clone(), x, kid: None, n: None, e: None };
    let enrol = EnrolPasskey {
        user: user.parse().unwrap(),
        within: Within::SignIn(Moment { at: executor.now(), era: None }),
        passkey: "credential".to_owned(),
        name: "Zaunkönig's phone".to_owned(),
        key,
        counter: 0,
        synced: false,
        challenge: "challenge".to_owned(),
        recovery: vec!["hash".to_owned()],
    };
    executor.run(&auth_commands::protocol(world.tenant, user), &enrol).await.unwrap();
    store.close().await;
}

/// Invites a user, who accepts, signs in and sets every kind of personal data. Returns the user's id and the last change.
async fn person(world: &World) -> (String, Answer) {
    let invited = json!({ "email": "kanaria@kanaria.example", "name": "Kanaria Zaunkönig", "roles": ["member"] });
    let invited = done(world, "/v1/user/invitations", invited).await;
    let invitation = invited.body["id"].as_str().unwrap();
    let body = json!({ "link": link(world, Purpose::Invitation, invitation, 1), "name": "Kanaria Zaunkönig" });
    let accepted = Answer::of(world.anonymous(Method::POST, "/v1/user/invitations/accept").json(&body)).await;
    assert_eq!(accepted.status, StatusCode::CREATED, "{accepted:?}");
    let user = accepted.body["id"].as_str().unwrap().to_owned();
    // The page for forgotten passwords looks users up in the read models, so these have to know the user first.
    ask(world, &accepted, &format!("user(id: \"{user}\") {{ id }}")).await;
    signs_in(world, &user, "kanaria@kanaria.example").await;
    let path = format!("/v1/user/users/{user}");
    let profile = json!({ "name": "Kanaria Zaunkönig", "given_name": "Kanaria", "family_name": "Zaunkönig",
        "phone": "+49 30 998877", "address": { "street": "Zaunkönigweg 7", "locality": "Kanaria" },
        "picture": "https://kanaria.example/me.png", "title": "Singer" });
    done(world, &format!("{path}/change-profile"), profile).await;
    let mut file = png(16, 16, [200, 180, 20]);
    file.resize(file.len().next_multiple_of(3), 0);
    file.extend(IN_THE_FILE);
    done(world, &format!("{path}/set-picture"), json!({ "picture": STANDARD.encode(file) })).await;
    let login = json!({ "email": "kanaria2@kanaria.example", "user_name": "zaunkoenig7" });
    let changed = done(world, &format!("{path}/change-login"), login).await;
    (user, changed)
}

/// Refusals do not contain personal data either.
async fn refusals_say_nothing(world: &World, user: &str) {
    let mut refused = Vec::new();
    for (path, body) in [
        ("/v1/user/users", json!({ "name": "Kanaria\u{7}", "email": "kanaria@@kanaria.example" })),
        ("/v1/user/users", json!({ "name": "Eve", "email": "kanaria2@kanaria.example" })),
        ("/v1/user/invitations", json!({ "email": "zaunkoenig7", "name": "Zaunkönig" })),
        (
            &*format!("/v1/user/users/{user}/change-profile"),
            json!({ "name": "Kanaria", "address": { "country": "Zaunkönig" } }),
        ),
    ] {
        let answer = world.post(path, body).await;
        assert!(answer.status.is_client_error(), "{answer:?}");
        refused.push(answer.body.to_string());
    }
    assert_eq!(leaks(&refused.join("\n")), [""; 0]);
}

/// Callers with the permission see it, in REST and GraphQL.
async fn who_may_sees_it(world: &World, user: &str, changed: &Answer) {
    let shown = world.get(&format!("/v1/user/users/{user}")).await;
    assert_eq!(shown.body["profile"]["phone"], "+4930998877", "{shown:?}");
    assert_eq!(shown.body["profile"]["address"]["street"], "Zaunkönigweg 7", "{shown:?}");
    let fields = "users(first: 5, filter: { search: \"zaunkönig\" }) { nodes { id name email userName } }";
    let found = ask(world, changed, fields).await;
    let expected = json!({ "id": user, "name": "Kanaria Zaunkönig", "email": "kanaria2@kanaria.example", "userName": "zaunkoenig7" });
    assert_eq!(found["users"]["nodes"], json!([expected]));
    // By now the read model knows the picture, too.
    let picture = world.client.get(shown.body["profile"]["picture"].as_str().unwrap()).send().await.unwrap();
    assert!(picture.bytes().await.unwrap().ends_with(IN_THE_FILE));
}

/// Users can read what is stored about their own sign-in, without secrets.
async fn is_told_of_themselves(world: &World, user: &str) {
    let own = world.anonymous(Method::GET, "/v1/user/me/export").bearer_auth(world.token_of_user(user));
    let own = Answer::of(own).await;
    assert_eq!(own.status, StatusCode::OK, "{own:?}");
    let known = &own.body["signing_in"];
    assert_eq!((&known["passkeys"][0]["name"], &known["password"]), (&json!("Zaunkönig's phone"), &json!(true)));
    assert_eq!((&known["sessions"][0]["agent"], &known["sessions"][0]["methods"]), (&json!(AGENT), &json!(["pwd"])));
    assert_eq!(
        (&known["refused"][0]["agent"], &known["refused"][0]["reason"]),
        (&json!(AGENT), &json!("password_wrong"))
    );
    let history = known["history"].as_array().unwrap();
    let enrolled = history.iter().find(|told| told["event"] == "auth.account.passkey_enrolled").unwrap();
    assert_eq!(enrolled["data"]["name"], "Zaunkönig's phone", "{known}");
    assert!(!known.to_string().contains("challenge"), "no secret is among it: {known}");
}

/// It is sealed in the log and in the stream; metrics contain nothing of it.
async fn the_users_service_has_it_sealed(world: &World) {
    let database = world.of("user");
    let head = world.head_of_all(database).await;
    let (log, stream) = (rows(database, "log").await, streamed(world, "user", head).await);
    assert!(log.contains("Singer") && stream.contains("Singer"), "what is not personal is there: {stream}");
    assert_eq!(leaks(&log), [""; 0]);
    assert_eq!(leaks(&stream), [""; 0]);
    assert_eq!(leaks(world.get("/metrics").await.body.as_str().unwrap()), [""; 0]);
    let read_models = rows(database, "%").await;
    assert!(!leaks(&read_models).is_empty() && read_models.contains(IN_HEXADECIMAL), "the read models have it");
}

/// It is sealed in the auth service's log and stream, too.
async fn the_auth_service_has_it_sealed(world: &World, path: &str) {
    let of_auth = (rows(&world.auth, "log").await, streamed(world, "auth", world.head_of_all(&world.auth).await).await);
    assert!(of_auth.0.contains("password_wrong") && of_auth.1.contains("@auth.account/"), "{of_auth:?}");
    assert_eq!((leaks(&of_auth.0), leaks(&of_auth.1)), (vec![], vec![]));
    let refused = "{ auth { refusedSignIns { nodes { reason address agent origin } } } }";
    let nobodys = Answer::of(world.request(Method::POST, "/graphql").json(&json!({ "query": refused }))).await;
    let [nobody] = &nobodys.body["data"]["auth"]["refusedSignIns"]["nodes"].as_array().unwrap()[..] else {
        panic!("{nobodys:?}")
    };
    assert_eq!(
        (&nobody["reason"], &nobody["address"], &nobody["agent"]),
        (&json!("unknown"), &Value::Null, &Value::Null)
    );
    assert_eq!(nobody["origin"].as_str().map(str::len), Some(32), "one place is seen to be one: {nobody}");
    assert_eq!(leaks(&rows(&world.auth, "auth").await).len(), 2, "a session and an attempt that was refused");
    let told = world.get(&format!("{path}/erasure")).await.body["signing_in"].take();
    assert_eq!((&told["erased"], &told["sealed_for_ever"]), (&json!(false), &json!(0)), "{told}");
    assert_eq!(told["can_be_opened"], 3, "the passkey, the session, the attempt: {told}");
}

/// After the erasure it is nowhere, and the history still shows which events there were.
async fn erased_it_is_nowhere(world: &World, user: &str, path: &str) {
    let database = world.of("user");
    let erased = done(world, &format!("{path}/erase"), json!({})).await;
    let fields = format!("user(id: \"{user}\") {{ name email status }} userHistory(id: \"{user}\") {{ change }}");
    let seen = ask(world, &erased, &fields).await;
    assert_eq!(seen["user"], json!({ "name": "", "email": null, "status": "ERASED" }));
    assert_eq!(seen["userHistory"].as_array().unwrap().len(), 5, "{seen}");
    let fields = "invitations(first: 5) { nodes { status email name } }";
    let invitations = ask(world, &erased, fields).await;
    assert_eq!(invitations["invitations"]["nodes"], json!([{ "status": "ACCEPTED", "email": "", "name": null }]));
    assert_eq!(leaks(&rows(database, "%").await), [""; 0]);
    let shown = world.get(path).await;
    assert_eq!((&shown.body["status"], leaks(&shown.body.to_string())), (&json!("erased"), vec![]));
    let erasure = async || world.get(&format!("{path}/erasure")).await.body["signing_in"].take();
    testbed::eventually("it is erased where they signed in", async || {
        (erasure().await["erased"] == true).then_some(())
    })
    .await;
    // The second request is answered by read models that know of the erasure.
    let told = erasure().await;
    assert_eq!((&told["sealed_for_ever"], &told["can_be_opened"]), (&json!(3), &json!(0)), "{told}");
    assert_eq!(leaks(&rows(&world.auth, "%").await), [""; 0]);
}

#[tokio::test]
async fn attack_57_personal_data_stands_in_no_log_line_error_metric_or_event_and_nowhere_once_it_is_erased() {
    let logged = Logged::default();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG).with_ansi(false);
    tracing::subscriber::set_global_default(subscriber.with_writer(logged.clone()).finish()).unwrap();
    let world = sign_in::world().await;
    let (user, changed) = person(&world).await;
    let path = format!("/v1/user/users/{user}");
    refusals_say_nothing(&world, &user).await;
    who_may_sees_it(&world, &user, &changed).await;
    is_told_of_themselves(&world, &user).await;
    the_users_service_has_it_sealed(&world).await;
    the_auth_service_has_it_sealed(&world, &path).await;
    erased_it_is_nowhere(&world, &user, &path).await;
    let text = logged.text();
    assert!(text.contains("serving"), "something is logged");
    assert_eq!(leaks(&text), [""; 0]);
}
