//! Personal data: where it must not be while somebody is a user, and that it is nowhere once they are erased.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use auth_aggregates::{Jwk, Moment};
use auth_commands::{EnrolPasskey, Within};
use eventstore::{Append, CommandRecord, EventStore, NewEvent, StreamAppend};
use futures::StreamExt;
use kernel::{Clock, IdSource, Position, Service, SystemClock, SystemIds};
use nats::{Bus, Credentials, Settings};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use testbed::{Browser, Database, form};
use tracing_subscriber::fmt::MakeWriter;
use user_commands::Purpose;

use crate::issuers::issuer;
use crate::sign_in::{self, App, PASSWORD, mailed_link};
use crate::users::{ask, link};
use crate::world::{Answer, World};

/// Words that stand nowhere else.
const CANARIES: [&str; 5] = ["Kanaria", "Zaunkönig", "kanaria.example", "zaunkoenig7", "4930998877"];

/// What a browser says that it is.
const AGENT: &str = "Kanaria-Phone/7";

/// All that is logged.
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

/// The lines that hold what they must not.
fn leaks(text: &str) -> Vec<&str> {
    text.lines().filter(|line| CANARIES.iter().any(|canary| line.contains(canary))).collect()
}

/// The rows of the tables of these schemas (`LIKE`), as text.
async fn rows(database: &Database, schemas: &str) -> String {
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

/// The payloads that a service's stream has up to a position.
async fn streamed(world: &World, service: &'static str, to: u64) -> String {
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

async fn done(world: &World, path: &str, body: Value) -> Answer {
    let done = world.post(path, body).await;
    assert!(done.status.is_success(), "{path}: {done:?}");
    done
}

/// Somebody sets a password, signs in with a browser that says whose it is, once in vain, and has a passkey; and nobody of their name tries.
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

/// Somebody who is invited, accepts, signs in and changes: all that there may be of a person. Who they are, and the last change.
async fn person(world: &World) -> (String, Answer) {
    let invited = json!({ "email": "kanaria@kanaria.example", "name": "Kanaria Zaunkönig", "roles": ["member"] });
    let invited = done(world, "/v1/user/invitations", invited).await;
    let invitation = invited.body["id"].as_str().unwrap();
    let body = json!({ "link": link(world, Purpose::Invitation, invitation, 1), "name": "Kanaria Zaunkönig" });
    let accepted = Answer::of(world.anonymous(Method::POST, "/v1/user/invitations/accept").json(&body)).await;
    assert_eq!(accepted.status, StatusCode::CREATED, "{accepted:?}");
    let user = accepted.body["id"].as_str().unwrap().to_owned();
    signs_in(world, &user, "kanaria@kanaria.example").await;
    let path = format!("/v1/user/users/{user}");
    let profile = json!({ "name": "Kanaria Zaunkönig", "given_name": "Kanaria", "family_name": "Zaunkönig",
        "phone": "+49 30 998877", "picture": "https://kanaria.example/me.png", "title": "Singer" });
    done(world, &format!("{path}/change-profile"), profile).await;
    let login = json!({ "email": "kanaria2@kanaria.example", "user_name": "zaunkoenig7" });
    let changed = done(world, &format!("{path}/change-login"), login).await;
    (user, changed)
}

/// What is refused says nothing of them either.
async fn refusals_say_nothing(world: &World) {
    let mut refused = Vec::new();
    for (path, body) in [
        ("/v1/user/users", json!({ "name": "Kanaria\u{7}", "email": "kanaria@@kanaria.example" })),
        ("/v1/user/users", json!({ "name": "Eve", "email": "kanaria2@kanaria.example" })),
        ("/v1/user/invitations", json!({ "email": "zaunkoenig7", "name": "Zaunkönig" })),
    ] {
        let answer = world.post(path, body).await;
        assert!(answer.status.is_client_error(), "{answer:?}");
        refused.push(answer.body.to_string());
    }
    assert_eq!(leaks(&refused.join("\n")), [""; 0]);
}

/// Who may sees it, in REST and GraphQL.
async fn who_may_sees_it(world: &World, user: &str, changed: &Answer) {
    let shown = world.get(&format!("/v1/user/users/{user}")).await;
    assert_eq!(shown.body["profile"]["phone"], "+4930998877", "{shown:?}");
    let fields = "users(first: 5, filter: { search: \"zaunkönig\" }) { nodes { id name email userName } }";
    let found = ask(world, changed, fields).await;
    let expected = json!({ "id": user, "name": "Kanaria Zaunkönig", "email": "kanaria2@kanaria.example", "userName": "zaunkoenig7" });
    assert_eq!(found["users"]["nodes"], json!([expected]));
}

/// They get themselves what is known of how they sign in, without secrets.
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

/// The log and the stream have it sealed; a metric has nothing of it.
async fn the_users_service_has_it_sealed(world: &World) {
    let database = world.of("user");
    let head = world.head_of_all(database).await;
    let (log, stream) = (rows(database, "log").await, streamed(world, "user", head).await);
    assert!(log.contains("Singer") && stream.contains("Singer"), "what is not personal is there: {stream}");
    assert_eq!(leaks(&log), [""; 0]);
    assert_eq!(leaks(&stream), [""; 0]);
    assert_eq!(leaks(world.get("/metrics").await.body.as_str().unwrap()), [""; 0]);
    assert!(!leaks(&rows(database, "%").await).is_empty(), "the read models have it");
}

/// So have those of the service where they sign in.
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

/// Erased, it is nowhere, and the history still tells what happened.
async fn erased_it_is_nowhere(world: &World, user: &str, path: &str) {
    let database = world.of("user");
    let erased = done(world, &format!("{path}/erase"), json!({})).await;
    let fields = format!("user(id: \"{user}\") {{ name email status }} userHistory(id: \"{user}\") {{ change }}");
    let seen = ask(world, &erased, &fields).await;
    assert_eq!(seen["user"], json!({ "name": "", "email": null, "status": "ERASED" }));
    assert_eq!(seen["userHistory"].as_array().unwrap().len(), 4, "{seen}");
    let fields = "invitations(first: 5) { nodes { status email name } }";
    let invitations = ask(world, &erased, fields).await;
    assert_eq!(invitations["invitations"]["nodes"], json!([{ "status": "ACCEPTED", "email": "", "name": null }]));
    assert_eq!(leaks(&rows(database, "%").await), [""; 0]);
    let shown = world.get(path).await;
    assert_eq!((&shown.body["status"], leaks(&shown.body.to_string())), (&json!("erased"), vec![]));
    let told = testbed::eventually("it is erased where they signed in", async || {
        let mut told = world.get(&format!("{path}/erasure")).await.body;
        (told["signing_in"]["erased"] == true).then(|| told["signing_in"].take())
    })
    .await;
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
    refusals_say_nothing(&world).await;
    who_may_sees_it(&world, &user, &changed).await;
    is_told_of_themselves(&world, &user).await;
    the_users_service_has_it_sealed(&world).await;
    the_auth_service_has_it_sealed(&world, &path).await;
    erased_it_is_nowhere(&world, &user, &path).await;
    let text = logged.text();
    assert!(text.contains("serving"), "something is logged");
    assert_eq!(leaks(&text), [""; 0]);
}

/// Converts a lead into a contact as it was before contacts were told of it.
async fn converted_as_before(world: &World, lead: &str, account: &str, contact: &str) {
    let (settings, clock) = (world.config.log_settings(), Arc::new(SystemClock));
    let store = EventStore::open(&world.database, settings, clock).await.unwrap();
    let expected = store.load(world.tenant, "crm.lead", lead, 0).await.unwrap().len() as u64;
    let (id, occurred_at) = (SystemIds.next(), SystemClock.now());
    let metadata = json!({ "actor": "ada", "command_id": id, "correlation_id": id, "causation_id": id, "occurred_at": occurred_at });
    let event = NewEvent {
        event_id: id,
        event_type: "crm.lead.converted",
        event_version: 1,
        payload: json!({ "account": account, "contact": contact }).to_string(),
        metadata: metadata.to_string().into(),
        occurred_at,
    };
    let (aggregate_type, aggregate_id) = ("crm.lead", lead.to_owned());
    let streams = vec![StreamAppend { aggregate_type, aggregate_id, expected, events: vec![event] }];
    let command = CommandRecord { id: id.to_string(), request_hash: [0; 32], answer: "{}".to_owned() };
    store.append(Append { tenant: world.tenant, command, streams, claims: vec![] }).await.unwrap();
    store.close().await;
}

/// Asks CRM in GraphQL, once the read models are where `done` was.
async fn seen(world: &World, done: &Answer, fields: &str) -> Value {
    let request = world.request(Method::POST, "/graphql").header("x-min-position", done.header("x-position"));
    let mut answer = Answer::of(request.json(&json!({ "query": format!("{{ crm {{ {fields} }} }}") }))).await;
    assert_eq!(answer.body["errors"], Value::Null, "{answer:?}");
    answer.body["data"]["crm"].take()
}

/// A lead that is worth selling to, with all that there may be of a person.
async fn qualified(world: &World) -> String {
    let lead = json!({ "name": "Kanaria Zaunkönig", "email": "kanaria@kanaria.example", "phone": "+49 30 998877",
        "title": "Singer", "company": "Birds Ltd", "owner": "ada" });
    let made = done(world, "/v1/crm/leads", lead).await;
    let path = format!("/v1/crm/leads/{}", made.body["id"].as_str().unwrap());
    done(world, &format!("{path}/recycle"), json!({ "reason": "Zaunkönig is on leave" })).await;
    done(world, &format!("{path}/assign"), json!({ "owner": "ada" })).await;
    done(world, &format!("{path}/start-work"), json!({})).await;
    done(world, &format!("{path}/qualify"), json!({ "note": "Kanaria asked for an offer" })).await;
    path
}

/// A file of all leads, as somebody may ask for it: where it is, and what is in it.
async fn exported(world: &World) -> (String, Answer) {
    let asked = done(world, "/v1/crm/leads/export", json!({})).await;
    let path = format!("/v1/jobs/crm/{}", asked.body["id"].as_str().unwrap());
    testbed::eventually("the export is completed", async || {
        (world.get(&path).await.body["state"] == "completed").then_some(())
    })
    .await;
    (format!("{path}/output"), world.get(&format!("{path}/output")).await)
}

/// What is refused erases nobody.
async fn whom_nobody_may_erase(world: &World, path: &str) {
    let request = |path: &str, body: Value| world.request(Method::POST, path).json(&body);
    let manager = world.token(&[kernel::Role::Manager]);
    let as_manager = world.anonymous(Method::POST, &format!("{path}/erase")).bearer_auth(manager);
    world
        .refuses(vec![
            (request(&format!("{path}/erase"), json!({})), StatusCode::BAD_REQUEST, "validation_failed"),
            (
                request(&format!("{path}/erase"), json!({ "reason": "Kanaria asked" })),
                StatusCode::BAD_REQUEST,
                "validation_failed",
            ),
            (as_manager.json(&json!({ "reason": "requested" })), StatusCode::FORBIDDEN, "permission_missing"),
            (
                request(&format!("{path}/erase"), json!({ "reason": "requested" })).header("if-match", "\"1\""),
                StatusCode::PRECONDITION_FAILED,
                "version_differs",
            ),
        ])
        .await;
}

/// What is shown of those who are erased, and of how they are.
async fn are_shown_as_erased(world: &World, paths: [&str; 3]) {
    for path in paths {
        let told = world.get(&format!("{path}/erasure")).await.body;
        assert_eq!((&told["erased"], &told["sealed_for_ever"]), (&json!(true), &json!(7)), "{told}");
        assert_eq!((&told["can_be_opened"], &told["events"]), (&json!(0), &json!(17)), "{told}");
        let shown = world.get(path).await;
        assert_eq!((shown.status, leaks(&shown.body.to_string())), (StatusCode::OK, vec![]));
        // As in GraphQL: a text that is empty, and nothing that a client has to know a form of sealed things for.
        assert_eq!((&shown.body["name"], &shown.body["email"]), (&json!(""), &Value::Null), "{shown:?}");
    }
}

#[tokio::test]
async fn attack_60_whoever_was_a_lead_or_a_contact_is_nowhere_once_they_are_erased() {
    let world = World::start().await;
    let database = world.of("crm");
    let (first, second) = (qualified(&world).await, qualified(&world).await);
    let converted = done(&world, &format!("{first}/convert"), json!({})).await;
    let contact = converted.body["contact"].as_str().unwrap().to_owned();
    let account = converted.body["account"].as_str().unwrap();
    let body = json!({ "account": account, "contact": contact, "allow_duplicate": true });
    let converted = done(&world, &format!("{second}/convert"), body).await;
    let path = format!("/v1/crm/contacts/{contact}");

    // Who may sees them; the log and the stream have them sealed.
    let lead = first.strip_prefix("/v1/crm/leads/").unwrap();
    let fields = format!(
        "contacts(first: 5, filter: {{ search: \"zaunkönig\" }}) {{ nodes {{ id email }} }}
         lead(id: \"{lead}\") {{ name status }} leadHistory(id: \"{lead}\") {{ change note }}"
    );
    let before = seen(&world, &converted, &fields).await;
    assert_eq!(before["contacts"]["nodes"], json!([{ "id": contact, "email": "kanaria@kanaria.example" }]));
    assert_eq!(before["leadHistory"][4]["note"], "Kanaria asked for an offer", "{before}");
    let (log, stream) = (rows(database, "log").await, streamed(&world, "crm", world.head_of_all(database).await).await);
    assert!(log.contains("Birds Ltd") && stream.contains("Birds Ltd"), "what is not personal is there: {stream}");
    assert_eq!((leaks(&log), leaks(&stream)), (vec![], vec![]));
    assert!(!leaks(&rows(database, "%").await).is_empty(), "the read models have it");
    let told = world.get(&format!("{path}/erasure")).await.body;
    assert_eq!((&told["erased"], &told["sealed_for_ever"]), (&json!(false), &json!(0)), "{told}");
    assert_eq!(told["can_be_opened"], 7, "the contact's first event and three of each lead: {told}");

    let (file, export) = exported(&world).await;
    assert!(export.body.as_str().unwrap().contains("Zaunkönig"), "{export:?}");

    whom_nobody_may_erase(&world, &path).await;
    let erased = done(&world, &format!("{second}/erase"), json!({ "reason": "requested" })).await;
    let after = seen(&world, &erased, &fields).await;
    assert_eq!(after["contacts"]["nodes"], json!([]));
    assert_eq!(after["lead"], json!({ "name": "", "status": "ERASED" }));
    assert_eq!(after["leadHistory"].as_array().unwrap().len(), 7, "what happened stays: {after}");
    let asked = format!("contact(id: \"{contact}\") {{ name email erasedAt }}");
    let known = seen(&world, &erased, &asked).await;
    assert_eq!((&known["contact"]["name"], &known["contact"]["email"]), (&json!(""), &Value::Null));
    assert!(known["contact"]["erasedAt"].is_string());
    assert_eq!(leaks(&rows(database, "%").await), [""; 0]);
    let gone = testbed::eventually("the file is removed", async || {
        let asked = world.get(&file).await;
        (asked.status != StatusCode::OK).then_some(asked)
    })
    .await;
    assert_eq!((gone.status, gone.code()), (StatusCode::NOT_FOUND, "job_output_forgotten"));
    let parts = "SELECT coalesce(string_agg(encode(bytes, 'escape'), ''), '') FROM jobs.parts";
    let mut connection = PgConnection::connect_with(&database.superuser()).await.unwrap();
    let parts: String = sqlx::query_scalar(parts).fetch_one(&mut connection).await.unwrap();
    assert_eq!(leaks(&parts), [""; 0]);
    connection.close().await.unwrap();
    let (_, export) = exported(&world).await;
    let export = export.body.as_str().unwrap();
    assert!(export.lines().count() == 3 && leaks(export).is_empty(), "{export}");
    are_shown_as_erased(&world, [&first, &second, &path]).await;
}

#[tokio::test]
async fn leads_of_whom_only_they_know_that_they_are_the_same_person_are_erased_with_the_contact() {
    let world = World::start().await;
    let (first, old) = (qualified(&world).await, qualified(&world).await);
    let converted = done(&world, &format!("{first}/convert"), json!({})).await;
    let [contact, account] = ["contact", "account"].map(|name| converted.body[name].as_str().unwrap().to_owned());
    let id = old.strip_prefix("/v1/crm/leads/").unwrap();
    converted_as_before(&world, id, &account, &contact).await;
    let failed = Answer::of(
        world
            .request(Method::POST, "/v1/crm/imports")
            .header("content-type", "text/csv")
            .body("name,email\nKanaria Zaunkönig,kanaria\n"),
    )
    .await;
    assert_eq!(failed.status, StatusCode::CREATED, "{failed:?}");
    let job = format!("/v1/jobs/crm/{}", failed.body["id"].as_str().unwrap());
    testbed::eventually("the import is over", async || {
        (world.get(&job).await.body["state"] == "completed").then_some(())
    })
    .await;
    let errors = world.request(Method::GET, &format!("{job}/output")).send().await.unwrap().text().await.unwrap();
    assert!(errors.contains("email"), "{errors}");

    done(&world, &format!("/v1/crm/contacts/{contact}/erase"), json!({ "reason": "requested" })).await;
    for path in [&first, &old, &format!("/v1/crm/contacts/{contact}")] {
        let told = world.get(&format!("{path}/erasure")).await.body;
        assert_eq!((&told["erased"], &told["can_be_opened"]), (&json!(true), &json!(0)), "{path}: {told}");
        assert_eq!(told["sealed_for_ever"], 7, "all three are one person: {told}");
    }
    testbed::eventually("what the import says of rows is removed", async || {
        (world.get(&format!("{job}/output")).await.code() == "job_output_forgotten").then_some(())
    })
    .await;
    let jobs = world.get("/v1/jobs/crm?kind=forget_exports").await.body;
    assert_eq!(jobs["jobs"].as_array().unwrap().len(), 1, "{jobs}");
    done(&world, &format!("/v1/crm/contacts/{contact}/erase"), json!({ "reason": "requested" })).await;
    let jobs = world.get("/v1/jobs/crm?kind=forget_exports").await.body;
    assert_eq!(jobs["jobs"].as_array().unwrap().len(), 1, "a repetition has nothing left to do: {jobs}");
}

#[tokio::test]
async fn an_erasure_that_was_carried_out_is_said_to_be_again_also_while_the_read_models_are_behind() {
    let world = World::start().await;
    let made = done(&world, "/v1/crm/contacts", json!({ "name": "Grace Hopper", "email": "grace@example.com" })).await;
    let path = format!("/v1/crm/contacts/{}/erase", made.body["id"].as_str().unwrap());
    let erase = |key: &str| {
        world.request(Method::POST, &path).header("idempotency-key", key).json(&json!({ "reason": "requested" }))
    };
    let erased = Answer::of(erase("once")).await;
    assert_eq!(erased.status, StatusCode::OK, "{erased:?}");
    // Leads can be read, and no new one is written.
    let mut superuser = PgConnection::connect_with(&world.of("crm").superuser()).await.unwrap();
    let mut behind = superuser.begin().await.unwrap();
    sqlx::query("LOCK TABLE crm.lead IN SHARE MODE").execute(&mut *behind).await.unwrap();
    world.lead("whom the read models do not know").await;
    let head = world.head().await;
    let again = Answer::of(erase("once")).await;
    assert_eq!((again.status, again.header("x-position")), (StatusCode::OK, erased.header("x-position")), "{again:?}");
    world.refuses(vec![(erase("another"), StatusCode::GATEWAY_TIMEOUT, "read_model_behind")]).await;
    assert_eq!(world.head().await, head);
    behind.rollback().await.unwrap();
}
